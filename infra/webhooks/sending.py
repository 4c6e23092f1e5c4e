"""One try to deliver one message: to the address that was checked, without redirects, within ten seconds."""

import asyncio
import ssl
from time import monotonic
from typing import NamedTuple

import httpx

from infra.webhooks.destination import Destination, Forbidden, read_url, resolve

TIMEOUT_S = 10.0
AGENT = "Scrip-Webhooks/1"


class Try(NamedTuple):
    """What became of one try. `status_code` is none where no answer came, and then `error` says why."""

    status_code: int | None
    error: str | None
    ms: int

    @property
    def delivered(self) -> bool:
        """Only an answer of 200 to 299 counts; a redirect does not."""
        return self.status_code is not None and 200 <= self.status_code < 300


class Sender:
    """Sends bodies. `allow_private`: see `read_url`. Every try has a connection of its own, so that none is reused."""

    def __init__(self, *, allow_private: bool = False, timeout_s: float = TIMEOUT_S) -> None:
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context()

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Try:
        """Post `body` to `url`; whatever happens is told, never raised."""
        begun = monotonic()
        status, error = None, None
        try:
            async with asyncio.timeout(self._timeout_s):
                destination = read_url(url, allow_private=self._allow_private)
                address = await resolve(destination, allow_private=self._allow_private)
                status = await self._post(destination, address, headers, body)
        except TimeoutError:
            error = f"no answer within {self._timeout_s:.0f} s"
        except Forbidden as refused:
            error = str(refused)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failed:
            error = _told(failed)
        if status is not None and not 200 <= status < 300:
            error = f"answered {status}"
        return Try(status, error, int((monotonic() - begun) * 1000))

    async def _post(self, destination: Destination, address: str, headers: dict[str, str], body: bytes) -> int:
        literal = f"[{address}]" if ":" in address else address
        url = f"{destination.scheme}://{literal}:{destination.port}{destination.target}"
        told = {
            **headers,
            "host": destination.authority,
            "content-type": "application/json",
            "user-agent": AGENT,
            "accept-encoding": "identity",
        }
        # The name is what the certificate must be for, although the connection is made to the address. httpx follows
        # redirects only when told to.
        extensions = {"sni_hostname": destination.host}
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=self._timeout_s) as client,
            client.stream("POST", url, content=body, headers=told, extensions=extensions) as answer,
        ):
            return answer.status_code  # the rest of the answer is the receiver's own matter and is not read


def _told(error: Exception) -> str:
    """The kind of failure; what a server on the way said in words is not for the log of another organisation."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or 'failed'}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__

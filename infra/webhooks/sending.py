"""One try to deliver one message: without redirects, within ten seconds, and to public addresses only.

The host is resolved once and connected to as resolved, so that no name leads inside (SSRF, DNS rebinding).
"""

import asyncio
import socket
import ssl
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

MAX_URL = 2_000
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # what is not in it was never assigned
_TO_TRY = "; to try webhooks out on a machine of your own, set SCRIP_WEBHOOKS_ALLOW_PRIVATE=true"
_RESERVED_NAMES = (".localhost", ".local", ".internal", ".home.arpa", ".onion")


class Forbidden(Exception):
    """The address is none that a webhook may go to; the text says why, without saying what the name resolved to."""


class Destination(NamedTuple):
    """A checked URL: its host's name in ASCII, port, and the path with the query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def read_url(url: str, *, allow_private: bool = False) -> Destination:
    """The destination that a URL names. Raises Forbidden for what can be seen to be wrong without resolving it.

    `allow_private` lets through plain http and private addresses, for tests and machines without a network.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Forbidden(f"the URL must be at most {MAX_URL} printable ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("the URL cannot be read") from None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise Forbidden(f"the URL must begin with https://{_TO_TRY}")
    if not host or "@" in parts.netloc or "%" in parts.netloc or parts.fragment or port == 0:
        raise Forbidden("the URL must name a host, and have no login and no fragment")
    if not allow_private:
        _refuse_name(host)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target)


async def resolve(destination: Destination, *, allow_private: bool = False) -> str:
    """The address to connect to, now. Raises Forbidden where any address of the host is not public; OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise OSError("the host has no address")
    if not allow_private and not all(is_public(address) for address in addresses):
        raise Forbidden(f"the host's address is not a public one{_TO_TRY}")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, addresses that only wrap another one included."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        inner = _inner(found)
        if inner is not None:
            return is_public(str(inner))
        return found in _GLOBAL_UNICAST and found.is_global
    return found.is_global and not found.is_multicast and not found.is_reserved


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, 6to4, Teredo, NAT64 or compatible."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _refuse_name(host: str) -> None:
    """Refuse a literal address that is not public, and names that never lead to the public internet."""
    literal = ":" in host or host.replace(".", "").isdigit()
    if literal and not is_public(host):
        raise Forbidden(f"the host's address is not a public one{_TO_TRY}")
    if host == "localhost" or f".{host}".endswith(_RESERVED_NAMES) or ("." not in host and ":" not in host):
        raise Forbidden(f"the host's name is not a public one{_TO_TRY}")


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
        """Post `body` to `url`; every failure is returned, none is raised."""
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
        sent = {
            **headers,
            "host": destination.authority,
            "content-type": "application/json",
            "user-agent": AGENT,
            "accept-encoding": "identity",
        }
        # The name is what the certificate must be for, although the connection is made to the address. httpx follows
        # redirects only on request.
        extensions = {"sni_hostname": destination.host}
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=self._timeout_s) as client,
            client.stream("POST", url, content=body, headers=sent, extensions=extensions) as answer,
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

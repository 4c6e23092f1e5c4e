"""Public keys of an identity provider, fetched from its JWKS address and kept for minutes."""

from asyncio import Lock
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import httpx
import jwt
import structlog

FRESH_S = 300.0  # a key that the provider withdraws is out of use after this time
RETRY_S = 30.0  # an unknown key id, or a provider that is down, does not make us ask more often
TIMEOUT_S = 3.0
MAX_KEYS = 100
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}

Fetch = Callable[[str], Awaitable[dict[str, Any]]]
log = structlog.get_logger()


class KeySet:
    """The provider's keys by key id. `fetch` reads the document; the default is an HTTPS GET."""

    def __init__(self, url: str, fetch: Fetch | None = None) -> None:
        self._url = url
        self._fetch = fetch or _get
        self._keys: dict[str, tuple[str, Any]] = {}
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = Lock()

    async def find(self, key_id: str, algorithm: str) -> Any | None:
        """The key with this id where it is one for `algorithm` (RS256 or ES256), else none.

        While the provider cannot be reached, the keys that it published last stay in use.
        """
        now = monotonic()
        if (key_id not in self._keys or now - self._read_at > FRESH_S) and now - self._tried_at > RETRY_S:
            async with self._lock:
                if monotonic() - self._tried_at > RETRY_S:
                    await self._refresh()
        found = self._keys.get(key_id)
        return found[1] if found and found[0] == algorithm else None

    async def _refresh(self) -> None:
        self._tried_at = monotonic()
        try:
            document = await self._fetch(self._url)
            self._keys = _usable(document)
            self._read_at = monotonic()
        except (httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
            log.warning("the identity provider's keys cannot be read", url=self._url, error=type(error).__name__)


def _usable(document: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """The signature keys of the document that we can use; others are passed over."""
    keys: dict[str, tuple[str, Any]] = {}
    for entry in list(document.get("keys") or ())[:MAX_KEYS]:
        algorithm = ALGORITHMS.get(str(entry.get("kty")))
        if algorithm is None or entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
            continue
        try:
            keys[str(entry.get("kid", ""))] = (algorithm, jwt.PyJWK(entry, algorithm).key)
        except jwt.PyJWTError:
            continue
    return keys


async def _get(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
        answer = await client.get(url)
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

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
# The algorithms of each type of key, by type or curve. None of them takes a public key for a secret.
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_OF_TYPE = {"RSA": _RSA, "P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}
ALGORITHMS = frozenset(algorithm for algorithms in _OF_TYPE.values() for algorithm in algorithms)

Fetch = Callable[[str], Awaitable[dict[str, Any]]]
log = structlog.get_logger()


class KeySet:
    """The provider's keys by key id. `fetch` reads the document; the default is an HTTPS GET."""

    def __init__(self, url: str, fetch: Fetch | None = None) -> None:
        self._url = url
        self._fetch = fetch or _get
        self._keys: dict[str, tuple[tuple[str, ...], Any]] = {}
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = Lock()

    async def find(self, key_id: str, algorithm: str) -> Any | None:
        """The key with this id where it is one for `algorithm` (of ALGORITHMS), else none.

        While the provider cannot be reached, the keys that it published last stay in use.
        """
        now = monotonic()
        if (key_id not in self._keys or now - self._read_at > FRESH_S) and now - self._tried_at > RETRY_S:
            async with self._lock:
                if monotonic() - self._tried_at > RETRY_S:
                    await self._refresh()
        found = self._keys.get(key_id)
        return found[1] if found and algorithm in found[0] else None

    async def _refresh(self) -> None:
        self._tried_at = monotonic()
        try:
            document = await self._fetch(self._url)
            self._keys = _usable(document)
            self._read_at = monotonic()
        except (httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
            log.warning("the identity provider's keys cannot be read", url=self._url, error=type(error).__name__)


def _usable(document: dict[str, Any]) -> dict[str, tuple[tuple[str, ...], Any]]:
    """The signature keys of the document that we can use; others are passed over."""
    keys: dict[str, tuple[tuple[str, ...], Any]] = {}
    for entry in list(document.get("keys") or ())[:MAX_KEYS]:
        algorithms = _OF_TYPE.get(str(entry.get("crv") if entry.get("kty") in {"EC", "OKP"} else entry.get("kty")), ())
        if "alg" in entry:  # for this one alone
            algorithms = (entry["alg"],) if entry["alg"] in algorithms else ()
        if not algorithms or entry.get("use", "sig") != "sig":
            continue
        try:
            keys[str(entry.get("kid", ""))] = (algorithms, jwt.PyJWK(entry, algorithms[0]).key)
        except jwt.PyJWTError:
            continue
    return keys


async def _get(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
        answer = await client.get(url)
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

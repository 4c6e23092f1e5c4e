"""Signed tokens (JWT): verified against the deployment's secret or its identity provider, and issued for sessions.

By PyJWT, beside the joserfc that authlib brings for the console's sign-in: joserfc warns at each EdDSA token, refuses
heads above 512 bytes or with a parameter of the provider's own, and a `sub` that is no text where another claim names
the caller. With all that switched off it takes more code than PyJWT.
"""

from asyncio import Lock
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic, time
from typing import Any, NamedTuple

import httpx
import jwt
import structlog

from domain.ids import is_id
from infra.security.principal import Principal, Role, Unauthenticated
from infra.settings import Settings

LEEWAY_S = 30
MAX_TOKEN_BYTES = 16_384  # an ID token with 200 groups, the most that Entra ID puts in, has 11,000
MAX_SESSION_S = 3_600
WITHDRAWN_S = 60.0  # a provider's key may be withdrawn before its tokens end: they are looked at again this often
STRONGEST_FIRST = (Role.ORG_ADMIN, Role.AUDITOR, Role.WORKER, Role.USER)
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


class UnsafeRoleMap(Exception):
    """SCRIP_JWT_ROLE_MAP cannot be read, or names a role that Scrip does not have; the message says which part."""


class Claim:
    """One claim by its place in a token.

    `place` is a claim's name, dots or slashes included (`https://example.com/roles`); else a path of names with dots
    between them (`realm_access.roles`), or a JSON pointer (`/resource_access/my.client/roles`, RFC 6901).
    """

    def __init__(self, place: str) -> None:
        self._name = place
        if place.startswith("/"):
            self._path = [part.replace("~1", "/").replace("~0", "~") for part in place[1:].split("/")]
        else:
            self._path = place.split(".")

    def of(self, claims: Mapping[str, Any]) -> Any:
        """The claim's value, none where the token has none."""
        if self._name in claims:
            return claims[self._name]
        value: Any = claims
        for part in self._path:
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = value[part]
        return value

    def put(self, claims: dict[str, Any], value: Any) -> None:
        """Set the claim in a token of our own, in the place where `of` finds it."""
        path = self._path if self._name.startswith("/") else [self._name]
        for part in path[:-1]:
            claims = claims.setdefault(part, {})
        claims[path[-1]] = value


def role_map(text: str) -> dict[str, Role]:
    """The mapping `theirs=ours,theirs=ours`, in its order; empty for none. Raises UnsafeRoleMap."""
    mapping: dict[str, Role] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        theirs, equals, ours = (piece.strip() for piece in part.rpartition("="))
        if not (theirs and equals) or ours not in set(Role) or theirs in mapping:
            raise UnsafeRoleMap(
                f"SCRIP_JWT_ROLE_MAP: {part} must be theirs=ours, each of theirs once, where ours is one of"
                f" {', '.join(Role)}."
            )
        mapping[theirs] = Role(ours)
    return mapping


def role_of(value: Any, mapping: Mapping[str, Role]) -> Role | None:
    """The role that a claim means; none where it means none of ours.

    The claim is one role or a list of them; those that mean nothing here are passed over. With a mapping the first of
    its roles that the claim has decides, so that its order is the deployment's choice, and a provider's own role called
    `admin` means nothing unless it is mapped. Without one, the strongest of our roles decides. A list without a mapping
    never makes an admin of the platform, for many providers have an `admin` of their own in it.
    """
    several = value if isinstance(value, list) else [value]
    given = {each for each in several if isinstance(each, str)}
    if mapping:
        return next((ours for theirs, ours in mapping.items() if theirs in given), None)
    if isinstance(value, str):
        return Role(value) if value in set(Role) else None
    return next((role for role in STRONGEST_FIRST if role.value in given), None)


class KeySet:
    """The provider's keys by key id. `fetch` reads the document; the default is an HTTPS GET."""

    def __init__(self, url: str, fetch: Fetch | None = None) -> None:
        self._url = url
        self._fetch = fetch or _fetched
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


async def _fetched(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
        answer = await client.get(url)
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document


class Verified(NamedTuple):
    """A token's principal, and until when (Unix seconds) the verdict holds."""

    principal: Principal
    until: float


class Tokens:
    """Verifies and issues tokens as the settings say.

    Which algorithms are taken follows from which keys there are: HS256 with a secret, with a JWKS address those of each
    published key's type. The token's own header chooses among these only, so a public key is never used as a secret.
    """

    def __init__(self, settings: Settings, keys: KeySet | None = None) -> None:
        """Raises UnsafeRoleMap."""
        self._settings = settings
        self._secret = settings.jwt_secret.get_secret_value()
        self._keys = keys or (KeySet(settings.jwks_url) if settings.jwks_url else None)
        self._sub, self._org = Claim(settings.jwt_sub_claim), Claim(settings.jwt_org_claim)
        self._role = Claim(settings.jwt_role_claim)
        self._roles = role_map(settings.jwt_role_map)

    async def verify(self, token: str) -> Verified:
        """Raises Unauthenticated."""
        if len(token) > MAX_TOKEN_BYTES:
            raise _invalid("The token is too long.")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):  # a head of any type and depth
            raise _invalid("The credential is neither a token nor an API key.") from None
        algorithm = str(header.get("alg"))  # an attacker may have written a list
        if algorithm == "HS256" and self._secret:
            return self._principal(self._claims(token, self._secret, "HS256"), None)
        if algorithm in ALGORITHMS and self._keys is not None:
            key = await self._keys.find(str(header.get("kid", "")), algorithm)
            if key is None:
                raise _invalid("The token is signed with a key that is not published.")
            return self._principal(self._claims(token, key, algorithm), time() + WITHDRAWN_S)
        raise _invalid("The token's algorithm is not accepted here.")

    def issue(self, org: str, sub: str, role: Role, ttl_s: int) -> tuple[str, int]:
        """A token that this deployment accepts, and when (Unix seconds) it ends. Raises LookupError: no secret."""
        if not self._secret:
            raise LookupError("SCRIP_JWT_SECRET is not set")
        settings = self._settings
        now = int(time())
        claims: dict[str, Any] = {"iat": now, "exp": now + ttl_s}
        for claim, value in ((self._sub, sub), (self._org, org), (self._role, role.value)):
            claim.put(claims, value)
        if settings.jwt_issuer:
            claims["iss"] = settings.jwt_issuer
        if settings.jwt_audience:
            claims["aud"] = settings.jwt_audience
        return jwt.encode(claims, self._secret, algorithm="HS256"), now + ttl_s

    def _claims(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        settings = self._settings
        required = ["exp", *(["iss"] if settings.jwt_issuer else []), *(["aud"] if settings.jwt_audience else [])]
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=settings.jwt_issuer or None,
                audience=settings.jwt_audience or None,
                leeway=LEEWAY_S,
                options={"require": required, "verify_aud": bool(settings.jwt_audience), "verify_sub": False},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("token_expired", "The token has expired.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):  # claims of any type and depth
            raise _invalid("The token is not valid.") from None
        return claims

    def _principal(self, claims: dict[str, Any], until: float | None) -> Verified:
        sub, org, named = self._sub.of(claims), self._org.of(claims), self._role.of(claims)
        role = role_of(named, self._roles)
        if role is None and until is None:  # signed with the deployment's secret, as the tokens that we issue
            role = role_of(named, {})
        if not (isinstance(sub, str) and isinstance(org, str) and is_id(sub) and is_id(org)):
            raise _invalid("The token does not name its subject and organisation by ids.")
        if role is None:
            raise _invalid("The token names no role that is known here.")
        try:
            ends = float(claims["exp"]) + LEEWAY_S
        except OverflowError:
            raise _invalid("The token ends later than any clock can say.") from None
        return Verified(Principal.of_token(org, sub, role), min(ends, until) if until else ends)


def _invalid(detail: str) -> Unauthenticated:
    return Unauthenticated("invalid_token", detail)

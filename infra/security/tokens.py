"""Signed tokens (JWT): verified against the deployment's secret or its identity provider, and issued for sessions."""

from time import time
from typing import Any, NamedTuple

import jwt

from domain.ids import is_id
from infra.security.claims import Claim, role_map, role_of
from infra.security.jwks import ALGORITHMS, KeySet
from infra.security.principal import Principal, Role, Unauthenticated
from infra.settings import Settings

LEEWAY_S = 30
MAX_TOKEN_BYTES = 16_384  # an ID token with 200 groups, the most that Entra ID puts in, has 11,000
MAX_SESSION_S = 3_600
WITHDRAWN_S = 60.0  # a provider's key may be withdrawn before its tokens end: they are looked at again this often


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
        algorithm = str(header.get("alg"))  # anybody may have written a list
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

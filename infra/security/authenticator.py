"""From the `Authorization` header to a principal, with the verdict kept for as long as it may be."""

from collections import OrderedDict
from time import time

from infra.security.api_keys import PREFIX, ApiKeys
from infra.security.principal import Principal, Unauthenticated
from infra.security.tokens import Tokens

MAX_KNOWN = 20_000
KEY_FRESH_S = 10.0  # a revoked API key is out of use in every process within this time


def credential_of(authorization: bytes) -> str:
    """The token or API key in a header, empty where there is none."""
    scheme, _, credential = authorization.decode("latin-1").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def key_id_of(authorization: bytes) -> str | None:
    """The id of the API key in a header, None where it has none."""
    credential = credential_of(authorization)
    return credential.removeprefix(PREFIX).partition("_")[0] if credential.startswith(PREFIX) else None


class Authenticator:
    """Checks credentials. Only good ones are kept: a wrong one is looked at again each time."""

    def __init__(self, tokens: Tokens, keys: ApiKeys) -> None:
        self._tokens = tokens
        self._keys = keys
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def known(self, authorization: bytes) -> Principal | None:
        """The principal of a header that was verified before and still holds: the fast path, without awaiting."""
        found = self._known.get(authorization)
        return found[0] if found and found[1] > time() else None

    def before(self, authorization: bytes | None) -> Principal | None:
        """The principal of a header that was verified before, even if that is too long ago to rely on."""
        found = self._known.get(authorization) if authorization is not None else None
        return found[0] if found else None

    def was_good(self, authorization: bytes) -> bool:
        """Whether a header was verified before, even if that is too long ago to rely on."""
        return authorization in self._known

    async def verify(self, authorization: bytes | None) -> Principal:
        """Raises Unauthenticated; psycopg.Error where API keys cannot be read."""
        if authorization is None:
            raise Unauthenticated("unauthenticated", "A login is needed: Authorization: Bearer <token or API key>.")
        credential = credential_of(authorization)
        if not credential:
            raise Unauthenticated("unauthenticated", "The login must be of the form: Bearer <token or API key>.")
        try:
            if credential.startswith(PREFIX):
                principal, until = await self._keys.verify(credential), time() + KEY_FRESH_S
            else:
                principal, until = await self._tokens.verify(credential)
        except Unauthenticated:
            self._known.pop(authorization, None)  # revoked or ended: good no more
            raise
        self._known[authorization] = (principal, until)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return principal

    def forget_key(self, key_id: str) -> None:
        """Drop what is known of an API key: it has just been revoked here."""
        start = f"{PREFIX}{key_id}_".encode()
        for header in [header for header in self._known if start in header]:
            del self._known[header]

"""The Standard Webhooks signature, made over what we send and checked on what payment providers send, and its secrets.

Headers `webhook-id`, `webhook-timestamp` (seconds since 1970) and `webhook-signature`: `v1,` and the base64 of
HMAC-SHA256 over `{id}.{timestamp}.{body}`, several of them separated by spaces while a secret is being changed.

The package `standardwebhooks` is not used: it compares with the machine's clock, where ours is the database's, accepts
a secret or a signature that is no base64, and ends at the first signature that fits. Secrets at rest are encrypted with
a key of the deployment, which a copy of the database does not have.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Mapping
from hmac import compare_digest
from hmac import digest as hmac_digest
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "whsec_"
SECRET_BYTES = 24
TOLERANCE_S = 300  # a recorded message is refused after five minutes
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class BadSignature(Exception):
    """The message is not from who holds the secret, or too old, or from the future; the text says which."""


def new_secret(key: bytes | None = None) -> str:
    """A secret as receivers keep it: `whsec_` and the base64 of `key`, by default 24 random bytes."""
    return PREFIX + b64encode(key if key is not None else token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, id_: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`. `timestamp` in whole seconds since 1970. Raises ValueError for no secret."""
    return "v1," + b64encode(_digest(_key(secret), id_, str(timestamp), body)).decode()


def signed_headers(secret: str, id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message."""
    return {ID: id_, TIMESTAMP: str(timestamp), SIGNATURE: sign(secret, id_, timestamp, body)}


def verify(secrets: str | Iterable[str], headers: Mapping[str, str], body: bytes, now: int) -> str:
    """The message's id, once one of the secrets has made one of its signatures, in constant time for each.

    `headers` with names in lower case, `now` in whole seconds since 1970. Raises BadSignature; ValueError where a
    secret is none.
    """
    id_, timestamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    if not id_ or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise BadSignature(f"{ID} and {TIMESTAMP} are needed")
    if abs(int(timestamp) - now) > TOLERANCE_S:
        raise BadSignature(f"{TIMESTAMP} is more than {TOLERANCE_S} s away from now")
    given = [_decoded(text[3:]) for text in headers.get(SIGNATURE, "").split(" ") if text.startswith("v1,")]
    made = [
        _digest(_key(secret), id_, timestamp, body) for secret in ([secrets] if isinstance(secrets, str) else secrets)
    ]
    # Every pair is compared, so that the time says nothing about which of them fitted.
    if not sum([compare_digest(one, other) for one in made for other in given]):
        raise BadSignature(f"no {SIGNATURE} of version v1 fits the message")
    return id_


def _key(secret: str) -> bytes:
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except NotBase64:
        raise ValueError("a webhook secret is `whsec_` and base64") from None
    if not key:
        raise ValueError("a webhook secret must not be empty")
    return key


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        return b""


def _digest(key: bytes, id_: str, timestamp: str, body: bytes) -> bytes:
    return hmac_digest(key, b"%b.%b.%b" % (id_.encode(), timestamp.encode(), body), "sha256")


class SecretUnreadable(Exception):
    """The secret was encrypted with another key than this deployment's."""


class WebhookSecrets:
    """Encrypts and opens. `key`: the deployment's SCRIP_FINGERPRINT_SECRET."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(hmac_digest(key, b"webhook secrets v1", "sha256"))

    def made(self, *parts: str) -> str:
        """The same secret for the same parts: a repeated request shows again what is stored encrypted."""
        text = "".join(f"{len(part)}:{part}" for part in ("webhook", *parts))
        return new_secret(hmac_digest(self._key, text.encode(), "sha256")[:SECRET_BYTES])

    def identity(self, *parts: str) -> str:
        """An id of 24 hexadecimal digits, the same for the same parts."""
        text = "".join(f"{len(part)}:{part}" for part in ("webhook id", *parts))
        return hmac_digest(self._key, text.encode(), "sha256").hex()[:24]

    def encrypt(self, org: str, id_: str, secret: str) -> bytes:
        """The stored form; it opens for this organisation and webhook only."""
        nonce = token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), _bound_to(org, id_))

    def decrypt(self, org: str, id_: str, stored: bytes) -> str:
        """The secret. Raises SecretUnreadable."""
        try:
            return self._cipher.decrypt(stored[:12], stored[12:], _bound_to(org, id_)).decode()
        except (InvalidTag, ValueError):
            raise SecretUnreadable(f"the secret of the webhook {id_} is of another deployment") from None


def _bound_to(org: str, id_: str) -> bytes:
    return f"{len(org)}:{org}{id_}".encode()

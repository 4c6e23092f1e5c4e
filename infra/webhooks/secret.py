"""Webhook secrets at rest: encrypted with a key of the deployment, which a copy of the database does not have."""

from hmac import digest as hmac_digest
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.webhooks.signature import SECRET_BYTES, new_secret


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

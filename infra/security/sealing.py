"""Personal text, encrypted with a key per subject, so that deleting the key erases the text and nothing else."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping
from secrets import token_bytes, token_hex
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg_pool import ConnectionPool

MAX_KEYS = 20_000
KEY_FRESH_S = 15.0  # an erased key is out of use in every process within this time


class _Key(NamedTuple):
    id: str
    cipher: AESGCM
    read_at: float


class Sealer:
    """Seals and opens text of one deployment. Thread-safe; keys are cached for seconds. `pool`: login scrip_writer."""

    def __init__(self, pool: "ConnectionPool[Any]") -> None:
        self._pool = pool
        self._keys: OrderedDict[tuple[str, str], _Key] = OrderedDict()
        self._lock = Lock()

    def seal(self, org: str, subject: str, fields: Mapping[str, Any]) -> str | None:
        """The sealed form of the fields that are not none (JSON values), or none where all are.

        `subject` is the person or owner that the text is about, for example `user:u_42`.
        Raises psycopg.Error where the subject's key can be neither read nor made.
        """
        present = {name: value for name, value in fields.items() if value is not None}
        if not present:
            return None
        key = self._key(org, subject) or self._make(org, subject)
        nonce = token_bytes(12)
        text = key.cipher.encrypt(nonce, msgspec.json.encode(present), _bound_to(org, subject))
        return f"{key.id}.{urlsafe_b64encode(nonce + text).decode()}"

    def knows(self, org: str, subject: str) -> bool:
        """Whether `seal` would not have to wait for the subject's key now."""
        return self._known(org, subject) is not None

    def open(self, org: str, subject: str, sealed: str | None) -> dict[str, Any] | None:
        """The fields; none where nothing was sealed or the key has been erased."""
        if sealed is None:
            return None
        id_, _, text = sealed.partition(".")
        key = self._key(org, subject)
        if key is None or key.id != id_:
            return None
        try:
            raw = urlsafe_b64decode(text)
            clear = key.cipher.decrypt(raw[:12], raw[12:], _bound_to(org, subject))
            opened: dict[str, Any] = msgspec.json.decode(clear)
        except (InvalidTag, ValueError):  # moved, changed or cut short
            return None
        return opened

    def erase(self, org: str, subject: str) -> bool:
        """Delete the subject's key: what it protects can never be read again. Whether there was one."""
        with self._pool.connection() as connection:
            gone = connection.execute("delete from subject_keys where org = %s and subject = %s", (org, subject))
        with self._lock:
            self._keys.pop((org, subject), None)
        return bool(gone.rowcount > 0)

    def _known(self, org: str, subject: str) -> _Key | None:
        with self._lock:
            known = self._keys.get((org, subject))
        return known if known and monotonic() - known.read_at < KEY_FRESH_S else None

    def _key(self, org: str, subject: str) -> _Key | None:
        known = self._known(org, subject)
        if known is not None:
            return known
        with self._pool.connection() as connection:
            row = connection.execute(
                "select key_id, key from subject_keys where org = %s and subject = %s", (org, subject)
            ).fetchone()
        if row is None:
            return None
        key = _Key(row[0], AESGCM(bytes(row[1])), monotonic())
        with self._lock:
            self._keys[org, subject] = key
            self._keys.move_to_end((org, subject))
            if len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)
        return key

    def _make(self, org: str, subject: str) -> _Key:
        with self._pool.connection() as connection:
            connection.execute(
                "insert into subject_keys (org, subject, key_id, key) values (%s, %s, %s, %s) on conflict do nothing",
                (org, subject, token_hex(8), AESGCM.generate_key(bit_length=256)),
            )
        key = self._key(org, subject)
        if key is None:
            raise LookupError(f"the key of {subject} was erased while it was made")
        return key


def _bound_to(org: str, subject: str) -> bytes:
    """Sealed text moved to another subject or organisation does not open."""
    return f"{len(org)}:{org}{subject}".encode()

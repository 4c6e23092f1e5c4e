"""The caller of a request, whatever they logged in with."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do (contract, "Identity and organisations"); all but `admin` within one organisation."""

    USER = "user"
    WORKER = "worker"
    ORG_ADMIN = "org_admin"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Unauthenticated(Exception):
    """There is no valid login. `code` is the reason; the message never quotes the credential."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. `scopes` none for all that the role may; `actor` is what events record."""

    org: str
    sub: str
    role: Role
    actor: str
    scopes: frozenset[str] | None = None

    @classmethod
    def of_token(cls, org: str, sub: str, role: Role) -> "Principal":
        """A caller with a signed token. The role is part of the actor: two roles of one name are two callers."""
        return cls(org, sub, role, f"{role.value}:{sub}")

    @classmethod
    def of_key(cls, key_id: str, org: str, role: Role, scopes: frozenset[str] | None) -> "Principal":
        """A program with an API key."""
        return cls(org, key_id, role, f"key:{key_id}", scopes)

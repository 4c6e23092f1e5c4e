"""Who is signed in, and the roles."""

from dataclasses import dataclass

USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN = "user", "worker", "org_admin", "auditor", "admin"
ROLES = (USER, WORKER, ORG_ADMIN, AUDITOR, ADMIN)
EVERYBODY = frozenset(ROLES)
ADMINS = frozenset({ORG_ADMIN, ADMIN})
INSPECTORS = frozenset({ORG_ADMIN, AUDITOR, ADMIN})
PLATFORM_READERS = frozenset({AUDITOR, ADMIN})
PLATFORM = frozenset({ADMIN})


@dataclass(frozen=True, slots=True)
class Person:
    """The caller as the API's token says; an admin may look at another organisation, `acting_for`."""

    org: str
    sub: str
    role: str
    token: str
    csrf: str
    expires_at: int  # seconds since 1970
    acting_for: str = ""

    @property
    def organisation(self) -> str:
        """The organisation that pages are about."""
        return self.acting_for or self.org

"""Tokens signed with the service's own key: for trying the API by hand, and for the operators' commands."""

from __future__ import annotations

from cli.failure import Failure
from domain.ids import is_id
from infra.security.principal import Role
from infra.security.tokens import Tokens
from infra.settings import Settings


def signed_token(settings: Settings, *, org: str, sub: str, role: str, ttl_s: int) -> str:
    """A token that the service with these settings accepts for `ttl_s` seconds.

    Raises Failure for what is no id, an unknown role, or where tokens are not signed with a secret of ours.
    """
    for name, value in (("an organisation", org), ("a user", sub)):
        if not is_id(value):
            raise Failure(f"{value!r} is not the id of {name}: letters, digits and . _ : @ | + = ~ - make one.")
    if role not in set(Role):
        raise Failure(f"There is no role {role}; the roles are {', '.join(Role)}.")
    if not settings.jwt_secret.get_secret_value():
        raise Failure("SCRIP_JWT_SECRET is not set; tokens of this service come from elsewhere.")
    token, _ = Tokens(settings).issue(org, sub, Role(role), ttl_s)
    return token

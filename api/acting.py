"""For whom a call is made: users act for themselves, everybody else names the user (contract, "Identity")."""

from api.operation import Call
from api.problems import Problem
from infra.security.principal import Role


def user_of(call: Call, user_id: str | None) -> str:
    """The user whom the call is for. Raises Problem: 403 for a user who names another, 422 where nobody is named."""
    if call.principal.role is Role.USER:
        own_only(call, user_id or call.principal.sub)
        return call.principal.sub
    if user_id is None:
        raise Problem(422, "missing_field", "user_id: whom it is for must be named.", field="user_id")
    return user_id


def own_only(call: Call, owner: str) -> None:
    """Raises Problem (403) for a user whose own it is not."""
    if call.principal.role is Role.USER and owner != call.principal.sub:
        raise Problem(403, "not_own", "A user may only see and use what is their own.", field="user_id")


def seen_user(call: Call, user_id: str | None) -> str | None:
    """The user to whom a list is limited, none for all. Raises Problem (403) for a user who names another."""
    return user_of(call, user_id) if call.principal.role is Role.USER else user_id

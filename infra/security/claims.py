"""Where an identity provider puts a claim, and which role of ours its roles mean."""

from collections.abc import Mapping
from typing import Any

from infra.security.principal import Role

STRONGEST_FIRST = (Role.ORG_ADMIN, Role.AUDITOR, Role.WORKER, Role.USER)


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

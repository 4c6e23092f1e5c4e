"""Whose a generation is: it never changes, so whoever was told once need not ask again."""

from collections import OrderedDict

MAX_KNOWN = 50_000  # generations, some 10 MB


class KnownOwners:
    """The users of the generations that this process has met last."""

    def __init__(self) -> None:
        self._users: OrderedDict[tuple[str, str], str] = OrderedDict()

    def note(self, org: str, generation_id: str, user: str) -> None:
        """Only of a generation that exists: the id of one that was refused may yet become another user's."""
        self._users[org, generation_id] = user
        if len(self._users) > MAX_KNOWN:
            self._users.popitem(last=False)

    def user(self, org: str, generation_id: str) -> str | None:
        """The generation's user, none where it was not met."""
        return self._users.get((org, generation_id))

"""The history of an organisation whose users mostly settle plain holds, and one time in ten generate an image."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.work import PLENTY
from domain.credits.capture import Capture
from domain.credits.grant import Grant
from domain.credits.reserve import Reserve
from domain.generations.actual import Reported
from domain.generations.confirm import ConfirmGeneration
from domain.generations.create import CreateGeneration
from domain.generations.events import Content
from domain.generations.request import Defaults, Request
from domain.groups.create import CreateGroup
from domain.groups.members import AddMembers
from domain.periods import Every
from infra.ids import record_id

GENERATED_OF = 10  # one piece of work in so many is a generation
GROUPS = 10
CONTENT = 1_000


class SettledWork:
    """Work for the users u0, u1 and so on, members of the groups g0 to g9."""

    def __init__(self, users: int) -> None:
        self._users = [f"u{number}" for number in range(users)]
        self._begun = 0
        self._generations: dict[str, str] = {}  # id -> whose it is

    def prepared(self, orgs: Sequence[str]) -> Iterable[tuple[str, Any]]:
        """Credits for everybody and the organisation's groups; there is one organisation."""
        (org,) = orgs
        for user in self._users:
            address = f"user:{user}:credits"
            yield org, Grant(address=address, grant_id=record_id("g"), amount=PLENTY, source="purchase")
        for number in range(GROUPS):
            id_, limits = f"g{number}", {"image": PLENTY}
            yield org, CreateGroup(group_id=id_, name=f"Group {number}", limits=limits, every=Every.MONTH)
            yield org, AddMembers(group_id=id_, users=tuple(self._users[number::GROUPS]))

    def begin(self, index: int, id_: str) -> Any:
        """Reserve 10 credits, or ask for an image."""
        # In every round another tenth of the users generates.
        generated = index % GENERATED_OF == self._begun // len(self._users) % GENERATED_OF
        self._begun += 1
        if not generated:
            return Reserve(address=f"user:{self._users[index]}:credits", reservation_id=id_, amount=10)
        self._generations[id_] = self._users[index]
        request = Request(
            user=self._users[index],
            operation="image",
            provider="BFL",
            model="FLUX.1 [pro]",
            defaults=Defaults(storage_limit=10**15),
        )
        return CreateGeneration(generation_id=id_, request=request)

    def end(self, index: int, id_: str) -> Any:
        """Capture them, or say that it succeeded."""
        if id_ not in self._generations:
            address = f"user:{self._users[index]}:credits"
            return Capture(address=address, reservation_id=id_, debit_id=record_id("d"))
        made = Content(id=f"{id_}.1", bytes=CONTENT)
        return ConfirmGeneration(generation_id=id_, reported=Reported(contents=(made,)))

    def generation_of(self, user: str) -> str:
        """The id of the user's first generation."""
        return next(id_ for id_, whose in self._generations.items() if whose == user)

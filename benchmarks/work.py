"""What a load begins and ends: a plain reservation, or a generation that takes five resources."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from domain.credits.commands import Capture, Grant, Reserve
from domain.generations.commands import ConfirmGeneration
from domain.generations.create import CreateGeneration
from domain.generations.events import Content
from domain.generations.request import Defaults, Request
from domain.generations.settlement import Reported
from domain.groups.commands import AddMembers, CreateGroup
from domain.periods import Every
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from infra.ids import record_id
from infra.partitions import PLATFORM

PLENTY = 10**12
GROUP_SIZE = 100
GENERATED_OF = 10  # one piece of work in so many is a generation
GROUPS = 10
CONTENT = 1_000


class Work(Protocol):
    """Work for so many users, spread over organisations."""

    def prepared(self, orgs: Sequence[str]) -> Iterable[tuple[str, Any]]:
        """What must be done first: organisation and command."""
        ...

    def begin(self, index: int, id_: str) -> Any:
        """The command that begins a piece of work of a user."""
        ...

    def end(self, index: int, id_: str) -> Any:
        """The command that ends it."""
        ...


class Reservations:
    """Reserve and capture."""

    def __init__(self, users: int) -> None:
        self._addresses = [f"user:{record_id('u')}:credits" for _ in range(users)]

    def prepared(self, orgs: Sequence[str]) -> Iterable[tuple[str, Any]]:
        """Credits for everybody."""
        for index, address in enumerate(self._addresses):
            yield (
                orgs[index % len(orgs)],
                Grant(address=address, grant_id=record_id("g"), amount=PLENTY, source="purchase"),
            )

    def begin(self, index: int, id_: str) -> Any:
        """Reserve 10 credits."""
        return Reserve(address=self._addresses[index], reservation_id=id_, amount=10)

    def end(self, index: int, id_: str) -> Any:
        """Capture them."""
        return Capture(address=self._addresses[index], reservation_id=id_, debit_id=record_id("d"))


class Generations:
    """Create and confirm an image that takes credits, storage, a place in a group, money and plan tokens."""

    def __init__(self, users: int) -> None:
        self._users = [record_id("u") for _ in range(users)]
        self._requests = [
            Request(
                user=user,
                operation="image",
                model="bench",
                token_type="general",  # noqa: S106 - a kind of token, no password
                defaults=Defaults(storage_limit=10**15),
            )
            for user in self._users
        ]

    def prepared(self, orgs: Sequence[str]) -> Iterable[tuple[str, Any]]:
        """A price, credits for everybody, plan tokens for each organisation, and everybody in a group."""
        entry = PriceEntry(model="bench", operation="image", credits=10, usd_micros=1)
        yield PLATFORM, PublishPrices(entries=(entry,), first=True)
        for org in orgs:
            tokens = f"org:{org}:tokens.general"
            yield org, Grant(address=tokens, grant_id=record_id("g"), amount=PLENTY, source="purchase")
        for index, user in enumerate(self._users):
            address = f"user:{user}:credits"
            yield (
                orgs[index % len(orgs)],
                Grant(address=address, grant_id=record_id("g"), amount=PLENTY, source="purchase"),
            )
        for first in range(0, len(self._users), GROUP_SIZE):
            for number, org in enumerate(orgs):
                of_org = tuple(
                    user
                    for index, user in enumerate(self._users[first : first + GROUP_SIZE], first)
                    if index % len(orgs) == number
                )
                group = record_id("group")
                yield (
                    org,
                    CreateGroup(
                        group_id=group, name=group, description="", limits={"image": PLENTY}, every=Every.MONTH
                    ),
                )
                if of_org:
                    yield org, AddMembers(group_id=group, users=of_org)

    def begin(self, index: int, id_: str) -> Any:
        """Ask for one."""
        return CreateGeneration(generation_id=id_, request=self._requests[index])

    def end(self, _index: int, id_: str) -> Any:
        """It succeeded."""
        return ConfirmGeneration(generation_id=id_)


class SettledWork:
    """Work for the users u0, u1 and so on, members of the groups g0 to g9.

    They mostly settle plain holds, and generate an image one time in ten.
    """

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

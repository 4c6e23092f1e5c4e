"""What a load begins and ends: a plain reservation, or a generation that takes five resources."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from domain.credits.capture import Capture
from domain.credits.grant import Grant
from domain.credits.reserve import Reserve
from domain.generations.confirm import ConfirmGeneration
from domain.generations.create import CreateGeneration
from domain.generations.request import Defaults, Request
from domain.groups.create import CreateGroup
from domain.groups.members import AddMembers
from domain.periods import Every
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from infra.ids import record_id
from infra.partitions import PLATFORM

PLENTY = 10**12
GROUP_SIZE = 100


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

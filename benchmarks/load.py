"""A closed loop of work that is begun and ended through one writer: plain reservations, or generations."""

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from threading import Event
from time import monotonic
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
from infra.writer.batch import Unit
from infra.writer.submission import Outcome, Submission
from infra.writer.waiting import Waiting
from infra.writer.writer import Writer

PLENTY = 10**12
GROUP_SIZE = 100
GENERATED_OF = 10  # one piece of work in so many is a generation
GROUPS = 10
CONTENT = 1_000


def submission(org: str, command: Any) -> Submission:
    """The command as a worker's request with a key of its own."""
    return Submission(org=org, command=command, actor="worker:bench", caller="worker:bench", key=record_id())


def submit_all(writer: Writer, submissions: Sequence[Submission]) -> None:
    """Submit in batches of 1,000 and wait for the answers. Raises RuntimeError where one is refused."""
    for start in range(0, len(submissions), 1_000):
        for result in writer.submit(submissions[start : start + 1_000]).result():
            if not isinstance(result, Outcome) or result.refusal:
                raise RuntimeError(f"the benchmark could not be prepared: {result}")


def grant(address: str, amount: int = PLENTY) -> Grant:
    """Credits or tokens for an account."""
    return Grant(address=address, grant_id=record_id("g"), amount=amount, source="purchase")


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
        for index, address in enumerate(self._addresses):
            yield orgs[index % len(orgs)], grant(address)

    def begin(self, index: int, id_: str) -> Any:
        return Reserve(address=self._addresses[index], reservation_id=id_, amount=10)

    def end(self, index: int, id_: str) -> Any:
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
            yield org, grant(f"org:{org}:tokens.general")
        for index, user in enumerate(self._users):
            yield orgs[index % len(orgs)], grant(f"user:{user}:credits")
        for first in range(0, len(self._users), GROUP_SIZE):
            for number, org in enumerate(orgs):
                of_org = tuple(
                    user
                    for index, user in enumerate(self._users[first : first + GROUP_SIZE], first)
                    if index % len(orgs) == number
                )
                group, limits = record_id("group"), {"image": PLENTY}
                yield org, CreateGroup(group_id=group, name=group, limits=limits, every=Every.MONTH)
                if of_org:
                    yield org, AddMembers(group_id=group, users=of_org)

    def begin(self, index: int, id_: str) -> Any:
        return CreateGeneration(generation_id=id_, request=self._requests[index])

    def end(self, _index: int, id_: str) -> Any:
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
            yield org, grant(f"user:{user}:credits")
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
        if id_ not in self._generations:
            address = f"user:{self._users[index]}:credits"
            return Capture(address=address, reservation_id=id_, debit_id=record_id("d"))
        made = Content(id=f"{id_}.1", bytes=CONTENT)
        return ConfirmGeneration(generation_id=id_, reported=Reported(contents=(made,)))

    def generation_of(self, user: str) -> str:
        """The id of the user's first generation."""
        return next(id_ for id_, whose in self._generations.items() if whose == user)


class Load:
    """Begins and ends work in turn for every user; each answer submits the next command, so all stay in flight."""

    def __init__(self, writer: Writer, users: int, organisations: int = 1, work: Work | None = None) -> None:
        self._writer = writer
        self._orgs = [f"bench{number}" for number in range(organisations)]
        self._users = users
        self._work = work or Reservations(users)
        self._turn = 0
        self._begun: deque[tuple[int, str]] = deque()
        self._until = 0.0
        self._left = 0
        self._answered = 0
        self._in_flight = 0
        self._failure: Exception | None = None
        self._idle = Event()
        submit_all(writer, [submission(org, command) for org, command in self._work.prepared(self._orgs)])

    def rate(self, seconds: float, waiting: int) -> float:
        """Commands a second over some seconds, each with a key of its own; raises RuntimeError where one is refused."""
        return self._run(waiting, until=monotonic() + seconds, commands=2**62)

    def run(self, commands: int, waiting: int = 1000) -> float:
        """Run so many commands; returns commands a second."""
        return self._run(min(waiting, commands), until=float("inf"), commands=commands)

    def _run(self, waiting: int, until: float, commands: int) -> float:
        started = monotonic()
        self._until, self._left, self._answered, self._in_flight = until, commands - waiting, 0, waiting
        self._failure = None
        self._idle.clear()
        self._writer.enqueue([self._next() for _ in range(waiting)])
        self._idle.wait()
        if self._failure:
            raise self._failure
        return self._answered / (monotonic() - started)

    def _next(self) -> Waiting:
        begun = ""
        if self._turn % 2 and self._begun:
            index, id_ = self._begun.popleft()
            command = self._work.end(index, id_)
        else:
            index, begun = self._turn // 2 % self._users, record_id("w")
            command = self._work.begin(index, begun)
        self._turn += 1
        asked = submission(self._orgs[index % len(self._orgs)], command)
        return Waiting(Unit((asked,)), _Slot(self, index, begun), None, float("inf"))

    def answered(self, index: int, begun: str, failure: Exception | None) -> None:
        """Called by the writer's thread for each answer; `begun` is the id of what was begun, empty at an end."""
        self._failure = self._failure or failure
        if begun:
            self._begun.append((index, begun))
        self._answered += 1
        if monotonic() < self._until and self._left > 0 and not self._failure:
            self._left -= 1
            self._writer.enqueue([self._next()])
        else:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()


class _Slot(Future[Any]):
    """Takes the place of a future at less cost: the load is measured, not its waiting."""

    def __init__(self, load: Load, index: int, begun: str) -> None:
        # The parent's condition variable is what costs; nothing here waits on one.
        self._load = load
        self._index = index
        self._begun = begun

    def done(self) -> bool:
        return False

    def set_result(self, results: Any) -> None:
        refusal = results[0].refusal
        self._load.answered(self._index, self._begun, RuntimeError(refusal.detail) if refusal else None)

    def set_exception(self, error: BaseException | None) -> None:
        self._load.answered(self._index, self._begun, RuntimeError(f"no answer: {error!r}"))

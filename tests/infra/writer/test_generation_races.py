"""Many who want more than there is, through several writers at once: limits are met exactly, outcomes are one each."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from domain.budgets.commands import SetBudget
from domain.credits.account import Account
from domain.credits.commands import Grant
from domain.generations.commands import ConfirmGeneration, FailGeneration
from domain.generations.create import CreateGeneration
from domain.generations.events import (
    GenerationCompleted,
    GenerationExpired,
    GenerationFailed,
    GenerationSettledLate,
)
from domain.generations.request import Request
from domain.groups.commands import AddMembers, CreateGroup
from domain.kernel.domain import LetTimePass
from domain.organisations.commands import ConfigureOrganisation
from domain.organisations.events import Outcome
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.partitions import PLATFORM, partition_of
from infra.writer.batch import Result
from infra.writer.submission import Outcome as Answer
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database, move_clock
from tests.infra.writer.asking import now
from tests.infra.writer.ledger_kit import accepted, check_log, code, results, stored, submission
from tests.resource_names import Resource

MEMBERS = tuple(f"member{number}" for number in range(8))
ATTEMPTS, LIMIT = 10_000, 2_500
UNIT = 50  # submissions that a caller hands in at once

PRICES = (
    PriceEntry(model="painter", operation="image", usd_micros=400_000),
    PriceEntry(model="talker", operation="chat", credits=50),
)


@pytest.fixture(scope="module")
def writers(module_database: Database) -> Iterator[tuple[Writer, ...]]:
    """Three, each with a connection and caches of its own; the log is whole when they are done."""
    with ExitStack() as stack:
        running = tuple(stack.enter_context(Writer(module_database.writer_uri, SCRIP)) for _ in range(3))
        accepted(running[0], PublishPrices(entries=PRICES, first=True), org=PLATFORM)
        yield running
    check_log(module_database.owner_uri)


def state(writer: Writer, org: str, stream: str) -> Any:
    """A stream's state as it is now, for a reader and for the writer."""
    return now(writer, org, [stream]).states[stream]


def only(resource: Resource) -> ConfigureOrganisation:
    """Only this is checked, so that nothing else ends the race."""
    return ConfigureOrganisation(enforce=(resource.value,))


def race(writers: Sequence[Writer], org: str, wanted: Callable[[str], Request]) -> Counter[str | None]:
    """Each member asks for its part of the attempts and confirms every other one; what all the requests came to."""

    def member(number: int) -> list[str | None]:
        writer, codes = writers[number % len(writers)], []
        for start in range(0, ATTEMPTS // len(MEMBERS), UNIT):
            names = [f"j{number}.{start + turn}" for turn in range(UNIT)]
            asked = [
                submission(CreateGeneration(generation_id=name, request=wanted(MEMBERS[number])), org=org)
                for name in names
            ]
            codes += [code(answer) for answer in results(writer, *asked)]
            held = [name for name, found in zip(names, codes[-UNIT:], strict=True) if found is None]
            confirmed = [submission(ConfirmGeneration(generation_id=name), org=org) for name in held[::2]]
            if confirmed:
                assert {code(answer) for answer in results(writer, *confirmed)} == {None}
        return codes

    with ThreadPoolExecutor(len(MEMBERS)) as pool:
        return Counter(found for codes in pool.map(member, range(len(MEMBERS))) for found in codes)


def test_eight_members_of_a_group_meet_its_limit_exactly(writers: tuple[Writer, ...]) -> None:
    """S1-3: 10,000 wanted, 2,500 allowed, through three writers."""
    org = "group"
    accepted(writers[0], only(Resource.GROUPS), org=org)
    accepted(writers[0], CreateGroup(group_id="g1", name="all", limits={"image": LIMIT}), org=org)
    accepted(writers[0], AddMembers(group_id="g1", users=MEMBERS), org=org)
    found = race(writers, org, lambda user: Request(user=user, operation="image"))
    assert found == {None: LIMIT, "group_limit": ATTEMPTS - LIMIT}
    for writer in writers:
        quota = state(writer, org, "group/g1").quota
        assert quota.used["image"] + quota.held["image"] == LIMIT == quota.taken("image")
        assert quota.used["image"] >= LIMIT // 2


def test_the_plan_tokens_of_an_organisation_are_used_exactly(writers: tuple[Writer, ...]) -> None:
    """S3-6: never below zero; a use costs four."""
    org, address = "plan", "org:plan:tokens.forecast"
    accepted(writers[0], only(Resource.PLAN), org=org)
    accepted(writers[0], Grant(address=address, grant_id="g", amount=4 * LIMIT + 3, source="gift"), org=org)
    found = race(writers, org, lambda user: Request(user=user, operation="chat", token_type="forecast"))
    assert found == {None: LIMIT, "insufficient_tokens": ATTEMPTS - LIMIT}
    for writer in writers:
        account: Account = state(writer, org, f"account/{address}")
        assert (account.available, account.reserved + account.debited) == (3, 4 * LIMIT)


def test_one_budget_is_spent_exactly(writers: tuple[Writer, ...]) -> None:
    """S2-3: one user in eight places at once."""
    org = "budget"
    accepted(writers[0], only(Resource.BUDGET), org=org)
    accepted(writers[0], SetBudget(user="alice", monthly=1_000_000_000, by_user=True), org=org)
    found = race(writers, org, lambda _user: Request(user="alice", operation="image", model="painter"))
    assert found == {None: LIMIT, "budget_exceeded": ATTEMPTS - LIMIT}
    for writer in writers:
        budget = state(writer, org, "budget/alice")
        assert (budget.remaining, budget.quota.taken("usd")) == (0, 1_000_000_000)


ROUNDS, GENERATIONS = 10, 200
ENDS = (GenerationCompleted, GenerationFailed, GenerationExpired)


def test_confirm_fail_and_expiry_race_for_each_of_2000_generations(
    writers: tuple[Writer, ...], module_database: Database
) -> None:
    """S4-1: whichever comes first is the one outcome, and the credits say the same."""
    org = "outcomes"
    for turn in range(ROUNDS):
        names = [f"j{turn}.{number}" for number in range(GENERATIONS)]
        _hold(writers[0], org, names)
        _end(writers, org, names, turn, module_database)
    ends: dict[str, list[type]] = defaultdict(list)
    codec = LedgerMapper.of(SCRIP)
    for row in stored(module_database.owner_uri, partition_of(org, PARTITIONS)):
        if row.org == org and row.stream.startswith("generation/"):
            event = codec.decode(row.type, row.data)
            if isinstance(event, (*ENDS, GenerationSettledLate)):
                ends[row.stream].append(type(event))
    assert len(ends) == ROUNDS * GENERATIONS
    found = Counter(tuple(kinds) for kinds in ends.values())
    late = (GenerationExpired, GenerationSettledLate)  # a worker's completion after expiry is charged as ever
    assert set(found) <= {(GenerationCompleted,), (GenerationFailed,), (GenerationExpired,), late}
    assert {kinds[0] for kinds in found} == set(ENDS), "nobody raced"
    _paid(writers[0], org, ends)


def _hold(writer: Writer, org: str, names: list[str]) -> None:
    """Each for a user of its own, so that none ends with another one."""
    commands: list[Any] = []
    for name in names:
        user = f"u{name}"
        commands.append(Grant(address=f"user:{user}:credits", grant_id=f"g{name}", amount=60, source="gift"))
        request = Request(user=user, operation="chat", model="talker")
        commands.append(CreateGeneration(generation_id=name, request=request, ttl_s=60, own_id=True))
    answers = results(writer, *(submission(command, org=org) for command in commands))
    assert {code(answer) for answer in answers} == {None}


def _end(writers: Sequence[Writer], org: str, names: list[str], seed: int, database: Database) -> None:
    """Three callers with a writer each want another end for each generation; time passes while they do."""
    kinds: tuple[Callable[[str], Any], ...] = (
        lambda name: ConfirmGeneration(generation_id=name),
        lambda name: FailGeneration(generation_id=name, outcome=Outcome.PROVIDER_ERROR),
        lambda name: LetTimePass(stream=f"account/user:u{name}:credits"),
    )
    waiting: list[Future[list[Result]]] = []
    order = random.Random(seed)
    for start in range(0, GENERATIONS, 20):
        if start == GENERATIONS // 2:
            waiting[0].result(30)
            move_clock(database, "61 seconds")
        for writer, kind in order.sample(list(zip(writers, kinds, strict=True)), 3):
            part = order.sample(names[start : start + 20], 20)
            waiting.append(writer.submit([submission(kind(name), org=org) for name in part]))
    for future in waiting:
        for answer in future.result(30):
            assert isinstance(answer, Answer)
            assert code(answer) in (None, "generation_ended")


def _paid(writer: Writer, org: str, ends: dict[str, list[type]]) -> None:
    """Charged once where it succeeded, in time or late, and not at all where it did not; nothing is held."""
    accounts = {stream: f"account/user:u{stream.removeprefix('generation/')}:credits" for stream in ends}
    states = now(writer, org, list(accounts.values())).states
    for stream, kinds in ends.items():
        account: Account = states[accounts[stream]]
        paid = 50 if kinds[-1] in (GenerationCompleted, GenerationSettledLate) else 0
        assert (account.debited, account.available, account.reserved) == (paid, 60 - paid, 0)

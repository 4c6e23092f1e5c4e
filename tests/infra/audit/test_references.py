"""The auditor's second implementations of use and generations: honest logs pass, each broken rule has its sentence."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import pytest

from domain.budgets.commands import SetBudget
from domain.credits.commands import Debit, Grant, Refund, Release, Reserve, VoidGrant
from domain.credits.events import Slice
from domain.generations.commands import CancelGeneration, ConfirmGeneration
from domain.generations.count import CountEarlier, StartCounting
from domain.generations.create import CreateGeneration
from domain.generations.refund import RefundGeneration
from domain.generations.request import Request
from domain.groups.commands import AddMembers, CreateGroup
from domain.organisations.commands import ChoosePlan
from domain.periods import Every
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import OptionValue
from domain.prices.publish import PublishPrices
from domain.storage.commands import SetStorageLimit
from infra.audit.expected import Stored
from infra.audit.report import Differs, Section
from infra.audit.streams import Streams, Transfers
from infra.audit.together import Together, differing
from infra.log.events import LedgerEvent
from infra.partitions import PLATFORM
from tests.projections.busy_shop import busy_shop
from tests.projections.log_builder import LogBuilder

Change = Callable[[list[Stored]], list[Stored]]


def read(events: Iterable[LedgerEvent]) -> list[Stored]:
    """Rows of a log with their bytes read."""
    return [Stored._make((*event[:9], json.loads(event.data)["data"])) for event in events]


def audit(events: Iterable[Stored], cut: dict[int, datetime] | None = None) -> None:
    """Fold every stream by the reference. Raises Differs."""
    transfers = Transfers({})
    ordered = sorted(events, key=lambda event: (event.org, event.stream, event.version))
    for org, group in groupby(ordered, key=lambda event: event.org):
        own = list(group)
        streams = Streams(Section("ledger"), None, transfers, Together(cut or {}))
        for stream, part in groupby(own, key=lambda event: event.stream):
            streams.fold(org, stream, part)
        if not streams.together.agrees:
            raise Differs("together", *differing(own, cut or {}))


def life(*, refunded: bool = False) -> list[Stored]:
    """A generation `g` that five resources are held for, completed, and refunded in part where that is wanted."""
    log = LogBuilder()
    log.do(PublishPrices(entries=CATALOGUE, first=True), PLATFORM)
    log.now += timedelta(minutes=1)
    log.do(ChoosePlan(plan="pro"))
    log.do(Grant(address="user:ann:tokens", grant_id="t", amount=1000, source="gift"))
    log.do(CreateGroup(group_id="team", name="Team", limits={"image": 5}, every=Every.DAY))
    log.do(AddMembers(group_id="team", users=("ann",)))
    log.do(SetBudget(user="ann", monthly=1_000_000, by_user=False))
    log.do(SetStorageLimit(user="ann", limit=10**9))
    options: dict[str, OptionValue] = {"size": "1024x1024", "quality": "hd", "count": 2}
    request = Request(user="ann", operation="image", feature="generate_leads", tokens=50, options=options)
    log.do(CreateGeneration(generation_id="g", request=request))
    log.do(ConfirmGeneration(generation_id="g"))
    if refunded:
        log.do(RefundGeneration(generation_id="g", refund_id="f", amount=10))
    assert log.refused == 0
    return read(log.events)


def charged_back() -> list[Stored]:
    """A grant is spent, taken back, and its debit is refunded."""
    log = LogBuilder()
    log.do(Grant(address="user:ann:credits", grant_id="t", amount=100, source="purchase"))
    log.do(Debit(address="user:ann:credits", debit_id="d", amount=100))
    terms = Slice("t", 0, "purchase", 50, None, log.now)
    log.do(VoidGrant(address="user:ann:credits", grant_id="t", known=terms))
    log.do(Refund(address="user:ann:credits", refund_id="f", debit_id="d", amount=60))
    log.do(Grant(address="user:ann:credits", grant_id="u", amount=5, source="gift"))
    assert log.refused == 0
    return read(log.events)


def test_what_comes_back_to_a_grant_that_was_taken_back_must_be_voided() -> None:
    audit(charged_back())
    spendable = [event for event in charged_back() if event.type != "grant-voided.v1" or not event.data["grant"][1]]
    with pytest.raises(Differs) as caught:
        audit(_numbered(spendable))
    assert "60 of a voided grant can be spent" in str(caught.value.found)


def test_what_comes_back_may_expire_in_part_before_the_rest_is_voided() -> None:
    """One hold took from a grant that ended meanwhile and from one that was taken back meanwhile."""
    log = LogBuilder()
    ann = "user:ann:credits"
    log.do(Grant(address=ann, grant_id="short", amount=10, source="gift", expires_at=log.now + timedelta(seconds=60)))
    log.do(Grant(address=ann, grant_id="long", amount=10, source="purchase"))
    log.do(Reserve(address=ann, reservation_id="r", amount=20))
    log.do(VoidGrant(address=ann, grant_id="long"))
    log.now += timedelta(seconds=61)
    ended = [event.type for event in log.do(Release(address=ann, reservation_id="r"))]
    assert ended == ["reservation-released.v1", "grant-expired.v1", "grant-voided.v1"]
    audit(read(log.events))


def changed(type_: str, stream: str = "", **data: Any) -> Change:
    """The first event of a type (of streams that start so) says something else."""

    def change(events: list[Stored]) -> list[Stored]:
        victim = next(event for event in events if event.type == f"{type_}.v1" and event.stream.startswith(stream))
        return [event._replace(data=event.data | data) if event is victim else event for event in events]

    return change


def without(type_: str, stream: str = "") -> Change:
    """The first event of a type never happened; its stream closes the gap."""

    def change(events: list[Stored]) -> list[Stored]:
        victim = next(event for event in events if event.type == f"{type_}.v1" and event.stream.startswith(stream))
        return [event for event in events if event is not victim]

    return change


def twice(type_: str, stream: str = "") -> Change:
    """The first event of a type happens once more, at once."""

    def change(events: list[Stored]) -> list[Stored]:
        place = next(
            n for n, each in enumerate(events) if each.type == f"{type_}.v1" and each.stream.startswith(stream)
        )
        return [*events[: place + 1], events[place], *events[place + 1 :]]

    return change


@pytest.mark.parametrize("seed", range(3))
def test_honest_lives_of_all_systems_pass(seed: int) -> None:
    events = read(busy_shop(LogBuilder(), 1000, seed).events)
    audit(events)
    # A cut in the middle of a command leaves out what happened at that moment and is no difference.
    middle = next(n for n, event in enumerate(events) if n > 900 and event.type == "generation-completed.v1")
    audit(events[: middle + 1], {event.partition: event.time for event in events[: middle + 1]})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed("group-created", limits={"image": 1}), "2 image used and held, the limit is 1"),
        (changed("use-held", "budget/", amounts={"usd": 1_000_001}), "1000001 usd used and held, the limit is 1000000"),
        (changed("storage-limit-set", limit=10_000_000), "10485760 bytes used and held, the limit is 10000000"),
        (changed("use-held", "group/", expires_at="2020-01-01T00:00:00Z"), "a hold that must not be"),
        (changed("use-settled", "group/", used={"image": 1}), "of the hold of g is lost"),
        (changed("period-started", "budget/", end="2020-01-01T00:00:00Z"), "is not that of its start"),
        (twice("period-started", "group/"), "starts twice"),
        (twice("generation-completed"), "generation-completed, but it is completed"),
        (twice("generation-held"), "asked for before is asked for again"),
        (changed("generation-completed", succeeded=3), "3 succeeded of 2"),
        (changed("members-added", users=["ann", "ann"]), "ann is or is not in the group"),
        (twice("allowance-granted"), "granted of an allowance of"),
        (changed("allowance-granted", cycle=1), "cycle 1 is not the current"),
        (without("allowance-set"), "an allowance that was never promised"),
    ],
)
def test_a_broken_rule(change: Change, reason: str) -> None:
    with pytest.raises(Differs) as caught:
        audit(_numbered(change(life())))
    assert reason in str(caught.value.found)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (without("reservation-captured", "account/user"), "g account/user:ann:tokens charged"),
        (
            changed("generation-held", expires_at="2026-01-02T00:00:00Z"),
            "g account/org:acme:tokens.lead_generation",
        ),
        (changed("generation-completed", charges=[]), "charged"),
        (changed("generation-completed", shortfall={"tokens": 5}), "g tokens owed 5"),
        (changed("generation-completed", contents=[["c1", 7]]), "g storage/ann stored ['c1', 7]"),
        (changed("generation-refunded", returned=[]), "f account/"),
        (without("use-released", "storage/"), "g storage/ann ended"),
    ],
)
def test_what_a_generation_says_and_what_moved_differ(change: Change, what: str) -> None:
    """All holds of a generation begin and end together, and each charge is explained, or it is said which is not."""
    with pytest.raises(Differs) as caught:
        audit(_numbered(change(life(refunded=what.startswith("f ")))))
    assert what in f"{caught.value.expected} {caught.value.found}"


def _numbered(events: list[Stored]) -> list[Stored]:
    """Versions without gaps, as a forger would leave them."""
    versions: dict[tuple[str, str], int] = {}
    numbered = []
    for event in events:
        key = (event.org, event.stream)
        versions[key] = versions.get(key, 0) + 1
        numbered.append(event._replace(version=versions[key]))
    return numbered


def test_the_plans_storage_limit_holds_where_the_user_has_none() -> None:
    """S0-5: the limit is that of the plan as it was when something was held."""
    events = without("storage-limit-set")(life())
    audit(_numbered(events))
    with pytest.raises(Differs, match="10485760 bytes used and held, the limit is 1"):
        audit(_numbered(changed("plan-chosen", storage_limit=1)(events)))


def counted() -> list[Stored]:
    """A generation `g` that was open before counting started, and `h` that came after it."""
    log = LogBuilder()
    upload = Request(user="ann", operation="upload", bytes=5)
    log.do(CreateGeneration(generation_id="g", request=upload))
    log.do(StartCounting(resource="running"))
    log.do(CountEarlier(resource="running", generation_ids=("g",), last=True))
    log.do(CreateGeneration(generation_id="h", request=upload))
    log.do(CancelGeneration(generation_id="h"))
    log.do(ConfirmGeneration(generation_id="g"))
    assert log.refused == 0
    return read(log.events)


def test_what_is_open_is_held_once_for_each_generation() -> None:
    audit(counted())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (without("use-released", "counted/"), "h counted/running ended"),
        (without("generation-extended"), "g counted/running"),
        (without("counting-started"), "before counting started"),
        (twice("counting-started"), "counting-started twice"),
        (changed("use-held", "counted/", amounts={"running": 2}), "one generation counts twice"),
        (changed("use-released", "counted/", amounts={}), "came back of"),
    ],
)
def test_what_is_counted_wrongly_is_found(change: Change, what: str) -> None:
    with pytest.raises(Differs) as caught:
        audit(_numbered(change(counted())))
    assert what in f"{caught.value.expected} {caught.value.found}"

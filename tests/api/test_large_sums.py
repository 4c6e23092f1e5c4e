"""Sums at their bounds and beyond 64 bits: read models, rebuilds and reports hold them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from consumers.rebuild import rebuild_from
from domain.bounds import MAX_AMOUNT, MAX_TOTAL
from domain.budgets.events import CostRecorded
from domain.credits.address import stream_of
from domain.credits.events import (
    AccountConfigured,
    CreditsDebited,
    CreditsGranted,
    CreditsRefunded,
    CreditsReserved,
    CreditsTransferredIn,
    CreditsTransferredOut,
    GrantExpired,
    ReservationCaptured,
    ShortfallRecorded,
    Slice,
)
from domain.generations.events import (
    Charge,
    Content,
    GenerationCompleted,
    GenerationHeld,
    GenerationPartCompleted,
    Quoted,
)
from domain.groups.events import GroupCreated, MembersAdded
from domain.periods import Every
from domain.quotas.events import UseCounted
from domain.storage.events import ContentStored
from infra.partitions import PLATFORM, partition_of
from tests.api.service import Service, running
from tests.conftest import PARTITIONS, Database
from tests.projections.folding import tables
from tests.projections.log_builder import LogBuilder, write
from tests.resource_names import Resource

ORG = next(
    name
    for name in map("large-{}".format, range(99))
    if partition_of(name, PARTITIONS) != partition_of(PLATFORM, PARTITIONS)
)
ACCOUNTS = 12  # of which each has charged as much as it may in its life: together more than 2^63
TOTAL = ACCOUNTS * MAX_TOTAL


def account(log: LogBuilder, address: str) -> None:
    """Everything that an account adds up, at its bound."""
    whole = Slice("g", MAX_TOTAL, "gift", 50, None, log.now)
    stream = stream_of(address)
    for event in (
        CreditsGranted(grant=whole),
        CreditsDebited(debit_id=f"{address}-d", amount=MAX_TOTAL, slices=(whole,)),
        CreditsTransferredIn(transfer_id=f"{address}-in", sender="user:x:credits", amount=MAX_TOTAL, slices=(whole,)),
        GrantExpired(grant=whole),
        ShortfallRecorded(generation_id="gen", amount=MAX_TOTAL),
        AccountConfigured(frozen=False, closed=False, credit_limit=MAX_AMOUNT),
    ):
        log.store(ORG, stream, event)


def round_trip(log: LogBuilder, address: str) -> None:
    """Reserved, captured, given back, and sent away."""
    whole = Slice("g", MAX_TOTAL, "gift", 50, None, log.now)
    ends = log.now + timedelta(days=1)
    for event in (
        CreditsGranted(grant=whole),
        CreditsReserved(reservation_id="r", amount=MAX_TOTAL, expires_at=ends, slices=(whole,)),
        ReservationCaptured(reservation_id="r", debit_id="d", amount=MAX_TOTAL, slices=(whole,), final=True),
        CreditsRefunded(refund_id="b", debit_id="d", amount=MAX_TOTAL, returned=(whole,)),
        CreditsTransferredOut(transfer_id="t", to="user:x:credits", amount=MAX_TOTAL, slices=(whole,)),
    ):
        log.store(ORG, stream_of(address), event)


def limits(log: LogBuilder) -> None:
    """Quotas of all kinds at their bound."""
    log.store(
        ORG, "group/g", GroupCreated(group_id="g", name="g", description="", limits={"image": 1}, every=Every.TOTAL)
    )
    log.store(ORG, "group/g", MembersAdded(group_id="g", users=("u",)))
    log.store(ORG, "group/g", UseCounted(amounts={"image": MAX_TOTAL}, user="u"))
    for number in range(ACCOUNTS):
        user = f"u{number}"
        log.store(
            ORG,
            f"budget/{user}",
            CostRecorded(cost_id=user, usd=MAX_TOTAL, success=True, generation_time_ms=MAX_AMOUNT),
        )
        log.store(
            ORG, f"storage/{user}", ContentStored(content_id=user, bytes=MAX_TOTAL, generation_id=None, sealed=None)
        )


def generation(log: LogBuilder) -> None:
    """What the quote and the parts of one add up to."""
    quote = Quoted(MAX_AMOUNT, MAX_AMOUNT, MAX_TOTAL, MAX_TOTAL, None, 0, "item", 1)
    ends = log.now + timedelta(days=1)
    asked: dict[str, Any] = {
        "generation_id": "gen",
        "user": "u",
        "operation": "image",
        "count": 100_000,
        "quote": quote,
    }
    charge = Charge(Resource.CREDITS, stream_of("user:u:credits"), {"credits": MAX_TOTAL // 2}, "gen.1")
    settled: dict[str, Any] = {
        "generation_id": "gen", "user": "u", "charges": (charge,), "usd": MAX_TOTAL // 2, "succeeded": 50_000,
        "contents": (Content("c", MAX_TOTAL // 2),), "uncharged": {"credits": MAX_TOTAL},
        "shortfall": {"credits": MAX_TOTAL},
    }  # fmt: skip
    log.store(ORG, "generation/gen", GenerationHeld(**asked, expires_at=ends, holds=()))
    log.store(ORG, "generation/gen", GenerationPartCompleted(**settled, holds=()))
    log.store(ORG, "generation/gen", GenerationCompleted(**settled))


@pytest.fixture(scope="module")
def large(module_database: Database) -> Iterator[Service]:
    """An organisation whose sums are as large as they get."""
    with running(module_database) as service:
        log = LogBuilder(PARTITIONS)
        log.now = datetime.now(UTC)
        for number in range(ACCOUNTS):
            account(log, f"agent:a{number}:credits")
        round_trip(log, "user:u:credits")
        limits(log)
        generation(log)
        write(module_database.owner_uri, log.events)
        service.project()
        yield service


def test_every_event_is_applied_and_a_rebuild_says_the_same(large: Service, module_database: Database) -> None:
    with psycopg.connect(module_database.auditor_uri) as connection:
        assert connection.execute("select count(*) from read_stops").fetchone() == (0,)
        summed = connection.execute("select sum(credits) from read.usage where org = %s", (ORG,)).fetchone()
        daily = connection.execute("select max(credits) from read.usage_daily where org = %s", (ORG,)).fetchone()
    assert summed == (TOTAL,)
    assert daily is not None
    assert daily[0] >= TOTAL > 2**63
    before = tables(module_database.auditor_uri)
    rebuild_from(module_database.projector_uri)
    assert tables(module_database.auditor_uri) == before


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("analytics", {"metric": "credits", "bucket": "day"}),
        ("analytics", {"metric": "usd", "group_by": "user", "bucket": "month"}),
        ("analytics", {"metric": "margin", "bucket": "day"}),
        ("analytics/users", {}),
        ("forecasts", {}),
        ("budgets/me/analytics", {"user_id": "u1"}),
        ("accounts", {}),
        ("generations", {}),
        ("users", {}),
        ("tokens/stats", {}),
        ("groups", {"sort": "closest"}),
    ],
)
def test_reports_hold_them(large: Service, path: str, asked: dict[str, Any]) -> None:
    root = "/api/groups" if path == "groups" else f"/api/v1/{path}"
    answer = large.client("auditor", org=ORG).get(root, params=asked)
    assert answer.status_code == 200, answer.text
    if asked.get("metric") == "credits":
        assert answer.json()["total"] == TOTAL

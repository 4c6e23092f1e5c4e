"""An event that could not be published is refused before the commit, and nothing of its command is left."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.bounds import MAX_SLICES
from domain.credits.events import (
    CreditsDebited,
    CreditsRefunded,
    CreditsReserved,
    CreditsTransferredIn,
    CreditsTransferredOut,
    ReservationCaptured,
    ReservationExpired,
    ReservationExtended,
    ReservationReleased,
    ShortfallCollected,
    Slice,
    Work,
)
from domain.generations.events import (
    Charge,
    Content,
    GenerationExtended,
    GenerationHeld,
    GenerationPartCompleted,
    GenerationRefused,
    Held,
    Quoted,
    ResourceCheck,
)
from domain.groups.events import GroupCreated, MembersAdded, MembersRemoved
from domain.groups.state import MAX_GROUPS
from domain.periods import Every
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from domain.quotas.events import PeriodEnded
from domain.registry import SCRIP
from infra.kafka.record import to_record
from infra.kafka.topics import RECORD_BATCH_BYTES
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.log.statements import MAX_EVENT_BYTES
from infra.writer.submission import NotApplied, Outcome
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.ledger_kit import accepted, check_log, code, grant, outcome, results, submission
from tests.resource_names import Resource

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LONG = "é" * 255


def book(models: int) -> PublishPrices:
    """A version of the price book, of some 1,000 bytes an entry."""
    return PublishPrices(
        entries=tuple(PriceEntry(model=f"{n}-{LONG}", operation=LONG, credits=1) for n in range(models))
    )


def test_it_is_refused_with_its_size_and_neighbours_are_committed(database: Database, writer: Writer) -> None:
    before, too_large, after = results(
        writer, submission(grant()), submission(book(1_000), "k1"), submission(grant(grant_id="g-2"))
    )
    assert isinstance(too_large, Outcome)
    assert too_large.refusal is not None
    assert (too_large.refusal.code, too_large.events) == ("event_too_large", ())
    assert too_large.refusal.facts["limit"] == MAX_EVENT_BYTES < too_large.refusal.facts["size"]
    assert [len(each.events) for each in (before, after)] == [1, 1]
    again = outcome(writer, book(1_000), "k1")
    assert (code(again), again.replayed) == ("event_too_large", True)
    assert accepted(writer, book(10)).events[0][1].version == 1  # nothing is left of the refused one
    check_log(database.owner_uri)


def test_of_an_atomic_group_nothing_is_written(database: Database, writer: Writer) -> None:
    results_ = results(writer, submission(grant()), submission(book(1_000)), submission(book(1)), atomic=True)
    assert [code(each) for each in results_] == ["NotApplied", "event_too_large", "NotApplied"]
    assert isinstance(results_[0], NotApplied)
    accepted(writer, grant())
    assert accepted(writer, book(1)).events[0][1].version == 1
    check_log(database.owner_uri)


def event(data: bytes, **changed: Any) -> LedgerEvent:
    """The largest that its fields may be."""
    long = "x" * 255
    stored = LedgerEvent(
        511, 2**62, long, f"account/{long}:{long}:{long}", 2**62, "generation-part-completed.v1",
        f"reservation/{long}", f"usage:{long}", NOW, data, b"\0" * 32,
    )  # fmt: skip
    return stored._replace(**changed)


def test_the_largest_event_fits_into_a_record_batch() -> None:
    key, value, headers = to_record(event(b"x" * MAX_EVENT_BYTES), "0" * 36)
    size = len(key) + len(value) + sum(len(name) + len(text) + 10 for name, text in headers)
    assert size + 200 < RECORD_BATCH_BYTES


ID = "x" * 255
STREAM = f"account/{ID}:{ID}:{ID}"
SLICES = tuple(Slice(f"{n:04}" + "x" * 251, 10**12, LONG, 1_000, NOW, NOW) for n in range(MAX_SLICES + 1))
SEALED = "x" * 40_000  # a prompt of 20,000 letters of three bytes, encrypted and in base64, is twice as long
ASKED: dict[str, Any] = {
    "generation_id": ID, "user": ID, "operation": ID, "provider": LONG, "model": LONG, "feature": ID, "parent_id": ID,
    "options": {f"{n:02}" + "x" * 62: LONG for n in range(32)}, "quote": Quoted(item=LONG, token_type=ID[:64]),
}  # fmt: skip
GROUPS = [f"group/{n:03}{ID[3:]}" for n in range(MAX_GROUPS)]
HELD = tuple(Held(Resource.GROUPS, stream, {"image": 10**12, "tokens." + ID[:64]: 10**12}) for stream in GROUPS)
CHARGES = (
    *(Charge(Resource.GROUPS, held.stream, held.amounts, period=ID) for held in HELD),
    *(Charge(Resource.CREDITS, STREAM, {"credits": 10**12}, f"{ID}.{n}") for n in range(20)),
)
SETTLED: dict[str, Any] = {
    "generation_id": ID, "user": ID, "charges": CHARGES, "sealed": SEALED,
    "contents": (Content(ID, 10**12),) * 500, "usage": {f"{n:02}" + ID[:62]: 10**12 for n in range(32)},
}  # fmt: skip
CHECKS = tuple(
    ResourceCheck(Resource.GROUPS, False, "group_limit", 10**12, 0, 10**12, f"{what}/{stream}")
    for stream in GROUPS
    for what in ("image", "tokens." + ID[:64])
)
# Whatever grows with a state or a request, as large as the bounds on both let it become.
WORST = [
    CreditsReserved(
        reservation_id=ID, amount=1, expires_at=NOW, slices=SLICES, item=LONG, work=Work(LONG, LONG, LONG),
        sealed=SEALED,
    ),
    ReservationExtended(reservation_id=ID, expires_at=NOW, grown=1, slices=SLICES),
    ReservationCaptured(
        reservation_id=ID, debit_id=ID, amount=1, slices=SLICES[:250], final=True, returned=SLICES[249:], sealed=SEALED
    ),
    ReservationReleased(reservation_id=ID, amount=1, returned=SLICES, sealed=SEALED),
    ReservationExpired(reservation_id=ID, amount=1, returned=SLICES),
    CreditsDebited(debit_id=ID, amount=1, slices=SLICES, item=LONG, sealed=SEALED, user=ID),
    CreditsRefunded(refund_id=ID, debit_id=ID, amount=1, returned=SLICES, sealed=SEALED),
    CreditsTransferredOut(transfer_id=ID, to=STREAM, amount=1, slices=SLICES, sealed=SEALED),
    CreditsTransferredIn(transfer_id=ID, sender=STREAM, amount=1, slices=SLICES),
    ShortfallCollected(debit_id=ID, amount=1, slices=SLICES),
    GenerationHeld(**ASKED, expires_at=NOW, holds=HELD, sealed=SEALED),
    GenerationRefused(**ASKED, reason=ID, checks=CHECKS),
    GenerationExtended(generation_id=ID, expires_at=NOW, holds=HELD),
    GenerationPartCompleted(**SETTLED, holds=HELD),
    MembersAdded(group_id=ID, users=(ID,) * 1_000),
    MembersRemoved(group_id=ID, users=(ID,) * 1_000),
    GroupCreated(
        group_id=ID, name=LONG, description="é" * 2_000, limits={f"tokens.{n:02}{ID[:62]}": 10**12 for n in range(100)},
        every=Every.TOTAL,
    ),
    PeriodEnded(key=ID, used={f"tokens.{n:04}{ID[:60]}": 10**18 for n in range(2_000)}),
]  # fmt: skip


@pytest.mark.parametrize("worst", WORST, ids=lambda event: type(event).__name__)
def test_no_event_grows_beyond_what_can_be_published(worst: Any) -> None:
    assert len(LedgerMapper.of(SCRIP).encode(worst, LONG, ID)[1]) < MAX_EVENT_BYTES

"""A state that is ahead of the log: what the log brings of it is known, and anything else is noticed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.credits.address import stream_of
from domain.credits.commands import Grant, Reserve
from domain.credits.events import ReservationExpired
from domain.kernel.memory import Memory
from domain.kernel.work import Stream
from domain.organisations.events import OrganisationConfigured
from domain.quotas.events import UseExpired
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.partitions import PLATFORM
from infra.writer.ahead import STEP, Ahead, content_of
from tests.golden.examples import ACTOR, CAUSE, EXAMPLES

NOW, LATER = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 13, tzinfo=UTC)
ALICE = "user:alice:credits"
KIND = SCRIP.kind_of(stream_of(ALICE))
MAPPER = LedgerMapper.of(SCRIP)


def crowded(holds: int) -> Stream:
    """An account with so many holds that end together."""
    memory = Memory(SCRIP, PLATFORM)
    memory.run(Grant(address=ALICE, grant_id="g", amount=holds, source="purchase"), "acme", NOW)
    for number in range(holds):
        memory.run(Reserve(address=ALICE, reservation_id=f"r{number}", amount=1, ttl_s=60), "acme", NOW)
    return memory.streams["acme", stream_of(ALICE)]


def test_a_little_is_folded_at_a_time_and_the_log_brings_nothing_new() -> None:
    before = crowded(2 * STEP + 1)
    written = KIND.due(before.state, LATER, 10 * STEP)
    ahead = Ahead(before)
    assert [ahead.fold(KIND, LATER) for _ in range(4)] == [True, True, False, False]
    assert (ahead.stream.version, ahead.stream.state.reserved) == (before.version, 0)
    found = [ahead.follow(before.version + 1 + number, event) for number, event in enumerate(written)]
    assert found == [True] * (2 * STEP) + [False], "with the last one the log has all of it"
    assert ahead.stream.version == before.version + len(written)
    assert not ahead.unwritten


@pytest.mark.parametrize(
    "event",
    [
        ReservationExpired(reservation_id="r0", amount=2, returned=(), generation=False),
        next(event for event in EXAMPLES.values() if isinstance(event, OrganisationConfigured)),
    ],
)
def test_what_was_not_expected_is_noticed(event: Any) -> None:
    ahead = Ahead(crowded(STEP))
    ahead.fold(KIND, LATER)
    assert not ahead.follow(ahead.stream.version + 1, event)
    assert len(ahead.unwritten) == STEP


def test_an_event_is_known_again_when_it_comes_from_the_log() -> None:
    event = UseExpired(generation_id="g", amounts={"usd": 2, "credits": 1})
    type_, data = MAPPER.encode(event, ACTOR, CAUSE)
    assert content_of(MAPPER.decode(type_, data)) == content_of(event)
    assert content_of(UseExpired(generation_id="g", amounts={"credits": 1, "usd": 2})) == content_of(event)
    assert content_of(UseExpired(generation_id="g", amounts={"credits": 1, "usd": 3})) != content_of(event)

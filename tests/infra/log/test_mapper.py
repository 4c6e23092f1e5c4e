"""The Mapper's two methods; the bytes themselves are fixed by tests/golden."""

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent

from domain.registry import SCRIP
from infra.log.events import Drafted, Recorded
from infra.log.mapper import LedgerMapper, UnknownEventType
from tests.golden.examples import ACTOR, CAUSE, EXAMPLES

MAPPER = LedgerMapper.of(SCRIP)
NEWEST = {type(event): event for event in EXAMPLES.values()}


@pytest.mark.parametrize("type_", sorted(SCRIP.events))
def test_every_event_goes_to_the_log_and_back(type_: str) -> None:
    event = NEWEST[SCRIP.events[type_]]
    recorded = Recorded(event, "acme", "account/user:ü:credits", 3, ACTOR, CAUSE)
    drafted = MAPPER.to_stored_event(recorded)
    assert drafted == Drafted(
        "acme", "account/user:ü:credits", 3, type_, event.tag, ACTOR, MAPPER.encode(event, ACTOR, CAUSE)[1]
    )
    assert MAPPER.to_domain_event(drafted) == recorded
    plain = StoredEvent(drafted.originator_id, drafted.originator_version, drafted.topic, drafted.state)
    assert MAPPER.to_domain_event(plain) == recorded
    assert MAPPER.decode(drafted.type, drafted.data) == event


def test_what_cannot_be_read_is_not_skipped() -> None:
    with pytest.raises(UnknownEventType):
        MAPPER.to_domain_event(StoredEvent("acme/s", 1, "unheard-of.v1", b'{"actor":"a","cause":"c","data":{}}'))
    with pytest.raises(msgspec.DecodeError):
        MAPPER.to_domain_event(StoredEvent("acme/s", 1, "credits-granted.v1", b"{}"))
    assert MAPPER.knows("credits-granted.v1")
    assert not MAPPER.knows("unheard-of.v1")


def test_only_what_names_its_stream_and_cause_is_stored() -> None:
    with pytest.raises(TypeError, match="CreditsGranted"):
        MAPPER.to_stored_event(NEWEST[SCRIP.events["credits-granted.v1"]])

"""What a command cannot name is there when its decision asks for it: the right state, and few queries."""

import logging

import psycopg
import pytest

from infra.writer.submission import Outcome
from tests.infra.writer.asking import now
from tests.infra.writer.ledger_kit import (
    DEADLINE_S,
    accepted,
    code,
    outcome,
    results,
    submission,
    together,
)
from tests.infra.writer.pots import LONG_AGO, Fill, Make, NewWriter, Pot, Recall, Spend, loads, pot


def test_a_cold_writer_sees_the_right_states_and_loads_what_is_further_away_at_once(
    cold: NewWriter, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cold()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b", "pot/c")), org=org)
    accepted(one, Fill(pot="pot/b", amount=5), org=org)
    accepted(one, Fill(pot="pot/c", amount=4), org=org)
    other, asked = cold(), loads(monkeypatch)
    assert code(outcome(other, Spend(pot="pot/a", amount=5), org=org)) == "too_little"
    accepted(other, Spend(pot="pot/a", amount=4), org=org)
    assert asked == [{"pot/a"}, {"pot/b", "pot/c"}]
    assert [pot(one, org, name).amount for name in ("pot/a", "pot/b", "pot/c")] == [5, 1, 0]


def test_a_batch_of_many_costs_one_more_query(cold: NewWriter, org: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, count = cold(), 20
    fill = [Fill(pot=f"pot/{n}", amount=n, linked=(f"pot/l{n}", f"pot/shared{n % 3}")) for n in range(count)]
    fill += [Fill(pot=f"pot/l{n}", amount=n) for n in range(count)] + [
        Fill(pot=f"pot/shared{n}", amount=1) for n in range(3)
    ]
    results(one, *(submission(command, org=org) for command in fill))
    other, asked = cold(), loads(monkeypatch)
    found = results(other, *(submission(Spend(pot=f"pot/{n}", amount=1), org=org) for n in range(count)))
    assert [code(item) for item in found] == ["too_little", None, None, None] + ["too_little"] * (count - 4)
    assert len(asked) == 2
    assert len(asked[1]) == count + 3


def test_what_ends_together_in_a_batch_of_many_costs_two_more(
    cold: NewWriter, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, count = cold(), 20
    links = {"a": "b", "b": "c", "c": "d"}
    fill = [
        Fill(pot=f"pot/{name}{n}", amount=1, linked=(f"pot/{link}{n}",), ends=LONG_AGO)
        for n in range(count)
        for name, link in reversed(links.items())
    ]
    results(one, *(submission(command, org=org) for command in fill))
    other, asked = cold(), loads(monkeypatch)
    before = outcome(one, Fill(pot="pot/z"), org=org).position
    found = results(other, *(submission(Fill(pot=f"pot/a{n}", amount=5), org=org) for n in range(count)))
    assert [len(streams) for streams in asked[1:]] == [count] * 4  # a, b, c, d; the first was that of `one`
    assert found[-1].position == before + count * (3 + 1)
    assert pot(other, org, "pot/a7").amount == 5
    assert pot(other, org, "pot/c7").amount == 0


def test_a_command_sees_streams_that_an_earlier_one_of_its_batch_has_linked(
    cold: NewWriter, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those could not be foreseen; what this very transaction has sent of others is not taken for committed."""
    monkeypatch.setattr("infra.writer.batch.SEND_EVERY", 1)
    one = cold()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",)), org=org)
    accepted(one, Fill(pot="pot/b", amount=9), org=org)
    accepted(one, Fill(pot="pot/c", amount=3), org=org)
    other, asked = cold(), loads(monkeypatch)
    found = together(
        other,
        *(
            [submission(command, org=org)]
            for command in (
                Fill(pot="pot/a", linked=("pot/c",)),
                Spend(pot="pot/a", amount=2),
                Make(pot="pot/a", new="pot/new", amount=1),
                Fill(pot="pot/b", linked=("pot/new", "pot/d")),
                Spend(pot="pot/a", amount=1),
                Spend(pot="pot/b", amount=1),
                Fill(pot="pot/c", amount=7),
            )
        ),
    )
    assert [code(item) for (item,) in found] == [None, None, None, None, None, "too_little", None]
    assert asked[0] == {"pot/a", "pot/b", "pot/c"}
    assert not any("pot/new" in streams for streams in asked)
    for writer in (other, cold()):
        pots = [pot(writer, org, name) for name in ("pot/a", "pot/b", "pot/c", "pot/new")]
        assert [found.amount for found in pots] == [6, 9, 8, 0]
        assert pots[1].tried == 1


def test_what_was_drafted_and_sent_unseen_is_not_loaded_with_what_is_foreseen(
    cold: NewWriter, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.writer.batch.SEND_EVERY", 1)
    one = cold()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/new", "pot/b")), org=org)
    accepted(one, Fill(pot="pot/b", amount=9), org=org)
    other, asked = cold(), loads(monkeypatch)
    found = together(
        other,
        [submission(Make(pot="pot/z", new="pot/new", amount=5), org=org)],
        [submission(Spend(pot="pot/a", amount=2), org=org)],
    )
    assert [code(item) for (item,) in found] == [None, None]
    assert asked == [{"pot/z", "pot/a"}, {"pot/b"}]
    assert pot(cold(), org, "pot/new").amount == pot(other, org, "pot/new").amount == 3


def test_a_stream_that_is_taken_for_new_and_is_not_stops_only_its_command(
    cold: NewWriter, org: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = cold()
    accepted(one, Fill(pot="pot/there", amount=9), org=org)
    other = cold()
    with caplog.at_level(logging.CRITICAL):
        futures = [
            other.submit([submission(command, org=org)])
            for command in (Fill(pot="pot/x"), Make(pot="pot/a", new="pot/there", amount=1), Fill(pot="pot/y"))
        ]
        assert isinstance(futures[1].exception(DEADLINE_S), psycopg.errors.UniqueViolation)
    assert [code(futures[index].result(DEADLINE_S)[0]) for index in (0, 2)] == [None, None]
    assert pot(other, org, "pot/there").amount == 9


def test_time_passes_together_on_streams_that_share_what_ends(cold: NewWriter, org: str) -> None:
    one = cold()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",), ends=LONG_AGO), org=org)
    accepted(one, Fill(pot="pot/b", amount=9, linked=("pot/a", "pot/c"), ends=LONG_AGO), org=org)
    before = accepted(one, Fill(pot="pot/c", amount=9, ends=LONG_AGO), org=org).position
    other = cold()
    refused = outcome(other, Spend(pot="pot/a", amount=1), org=org)
    assert code(refused) == "too_little"
    assert refused.position == before + 4  # three pots are emptied, and somebody has tried
    assert len(refused.events) == 1
    assert [pot(one, org, name).amount for name in ("pot/a", "pot/b", "pot/c")] == [0, 0, 0]
    assert accepted(other, Fill(pot="pot/c"), org=org).position == before + 5


def test_a_group_that_is_taken_back_leaves_what_it_has_loaded_as_it_was(cold: NewWriter, org: str) -> None:
    one = cold()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",)), org=org)
    accepted(one, Fill(pot="pot/b", amount=5), org=org)
    other = cold()
    found = together(
        other,
        [submission(Spend(pot="pot/a", amount=n), org=org) for n in (3, 4)],
        [submission(Spend(pot="pot/a", amount=4), org=org)],
        atomic=[0],
    )
    assert [[code(item) for item in unit] for unit in found] == [["NotApplied", "too_little"], [None]]
    assert [pot(other, org, name)[::3] for name in ("pot/a", "pot/b")] == [(5, 0), (1, 0)]


def test_a_tag_that_nobody_declared_is_looked_up_when_it_is_asked_for(cold: NewWriter, org: str) -> None:
    one = cold()
    accepted(one, Fill(pot="pot/a", linked=("put/old", "put/new", "put/none")), org=org)
    accepted(one, Fill(pot="pot/b", amount=4, tag="put/old"), org=org)
    other = cold()
    units = (
        Fill(pot="pot/c", amount=1, tag="put/new"),
        Recall(pot="pot/a"),
        Fill(pot="pot/c", amount=2, tag="put/new"),
    )
    found = together(other, *([submission(command, org=org)] for command in (*units, Recall(pot="pot/a"))))
    assert [code(item) for (item,) in found] == [None] * 4
    assert pot(other, org, "pot/a").amount == (4 + 1) + (4 + 1 + 2)
    assert len(now(other, org, [], ["put/new"]).tagged["put/new"]) == 2


def test_that_a_stream_is_empty_is_remembered_and_followed(
    cold: NewWriter, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = cold(), cold()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",)), org=org)
    asked = loads(monkeypatch)
    for turn in range(3):
        assert pot(one, org, "pot/c") == Pot()
        assert code(outcome(one, Spend(pot="pot/a", amount=1), org=org)) == "too_little"
        assert asked == [{"pot/c"}, {"pot/b"}], turn
    accepted(other, Fill(pot="pot/b", amount=2), org=org)
    accepted(other, Fill(pot="pot/c", amount=3), org=org)
    assert asked.pop() == {"pot/c"}
    assert asked.pop() == {"pot/b"}
    assert pot(one, org, "pot/c").amount == 3
    accepted(one, Spend(pot="pot/a", amount=2), org=org)
    assert pot(other, org, "pot/b").amount == 0
    assert asked == [{"pot/c"}, {"pot/b"}]


def test_a_refusal_with_a_fact_leaves_it_and_is_replayed_with_it(cold: NewWriter, org: str) -> None:
    one = cold()
    accepted(one, Fill(pot="pot/a", amount=1), org=org)
    first = outcome(one, Spend(pot="pot/a", amount=2), "k-1", org=org)
    assert code(first) == "too_little"
    assert [stream for stream, _ in first.events] == ["pot/a"]
    accepted(one, Fill(pot="pot/a", amount=9), org=org)
    for writer in (one, cold()):
        assert outcome(writer, Spend(pot="pot/a", amount=2), "k-1", org=org) == first._replace(replayed=True)
    assert pot(one, org, "pot/a").tried == 1
    twice = results(one, *(submission(Spend(pot="pot/a", amount=99), "k-2", org=org) for _ in range(2)))
    assert twice[1] == twice[0]._replace(replayed=True)
    assert pot(one, org, "pot/a").tried == 2


def test_the_fact_stays_where_the_refusal_is_not_kept(cold: NewWriter, org: str) -> None:
    one = cold()
    first = outcome(one, Spend(pot="pot/a", amount=1), "k-1", org=org, keep_refusals=False)
    assert (code(first), len(first.events)) == ("too_little", 1)
    accepted(one, Fill(pot="pot/a", amount=1), org=org)
    assert not accepted(one, Spend(pot="pot/a", amount=1), "k-1", org=org, keep_refusals=False).replayed
    assert pot(one, org, "pot/a") == Pot(amount=0, tried=1)


@pytest.mark.parametrize("keep", [True, False])
def test_a_group_that_is_taken_back_takes_the_facts_of_its_refusals_along(
    cold: NewWriter, org: str, keep: bool
) -> None:
    one = cold()
    before = accepted(one, Fill(pot="pot/a", amount=1), org=org)
    group = [submission(Spend(pot="pot/a", amount=n), f"k-{n}", org=org, keep_refusals=keep) for n in (1, 2)]
    found = results(one, *group, atomic=True)
    assert [code(item) for item in found] == ["NotApplied", "too_little"]
    assert isinstance(found[1], Outcome)
    assert (found[1].events, found[1].position) == ((), before.position)
    assert pot(one, org, "pot/a") == Pot(amount=1)
    again = outcome(one, Spend(pot="pot/a", amount=2), "k-2", org=org, keep_refusals=keep)
    assert (again.replayed, len(again.events)) == ((True, 0) if keep else (False, 1))
    assert accepted(one, Spend(pot="pot/a", amount=1), "k-1", org=org).replayed is False

"""What a decision emits it sees at once, and what it takes back has never been."""

from datetime import UTC, datetime
from typing import NamedTuple

from domain.kernel.domain import Domain, Module, timeless
from domain.kernel.memory import Memory
from domain.kernel.work import START, Stream, Work

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Noted(NamedTuple):
    """Something was decided, perhaps about one thing."""

    what: str
    tag: str | None = None


Notes = tuple[str, ...]  # the state
DOMAIN = Domain(Module(kinds={"note/": timeless((), lambda notes, event: (*notes, event.what), len)}))


def memory() -> Memory:
    return Memory(DOMAIN, "platform")


def work(known: Memory | None = None, org: str = "acme") -> Work:
    return (known or memory()).work(org, NOW)


def seen(decided: Work, *streams: str) -> list[Notes]:
    return [decided.state(stream) for stream in streams]


def test_what_is_emitted_is_in_the_state_and_under_its_tag_at_once() -> None:
    one = work()
    assert (one.state("note/a"), one.events("t/1")) == ((), ())
    one.emit("note/a", Noted("x", "t/1"))
    one.emit("note/b", Noted("y", "t/1"))
    one.emit("note/a", Noted("z"))
    assert seen(one, "note/a", "note/b") == [("x", "z"), ("y",)]
    assert one.events("t/1") == (("note/a", Noted("x", "t/1")), ("note/b", Noted("y", "t/1")))
    assert one.history("note/b", "t/1") == (Noted("y", "t/1"),)
    assert [stream for stream, _ in one.emitted] == ["note/a", "note/b", "note/a"]


def test_an_event_can_be_stored_before_those_that_led_to_it() -> None:
    one = work()
    one.emit("note/a", Noted("due"))
    place = one.mark()
    one.emit("note/a", Noted("part"))
    one.emit("note/b", Noted("part"))
    one.emit("note/c", Noted("whole"), at=place)
    assert [(stream, event.what) for stream, event in one.emitted] == [
        ("note/a", "due"), ("note/c", "whole"), ("note/a", "part"), ("note/b", "part"),
    ]  # fmt: skip
    one.back_to(place)
    assert [(stream, event.what) for stream, event in one.emitted] == [("note/a", "due")]
    assert seen(one, "note/a", "note/b", "note/c") == [("due",), (), ()]


def test_nothing_is_left_of_what_is_taken_back() -> None:
    known = memory()
    first = work(known)
    first.emit("note/a", Noted("old", "t/1"))
    known.keep(first)
    one = work(known)
    one.emit("note/a", Noted("due", "t/1"))
    mark, before = one.mark(), (dict(one.streams), dict(one.tags))
    one.emit("note/a", Noted("new", "t/1"))
    one.emit("note/b", Noted("new", "t/2"))
    one.back_to(mark)
    assert (one.streams, one.tags) == before
    assert one.events("t/2") == ()
    one.back_to(START)
    assert (one.streams, one.tags, one.emitted) == ({}, {}, [])
    assert seen(one, "note/a") == [("old",)]


def test_the_next_decision_sees_what_earlier_ones_have_left_and_takes_back_only_its_own() -> None:
    one = work()
    one.emit("note/a", Noted("first", "t/1"))
    one.begin("acme", NOW)
    one.emit("note/a", Noted("second", "t/1"))
    assert seen(one, "note/a") == [("first", "second")]
    one.back_to(START)
    assert seen(one, "note/a") == [("first",)]
    assert [event.what for _, event in one.events("t/1")] == ["first"]


def test_organisations_do_not_see_each_other() -> None:
    one = work()
    one.emit("note/a", Noted("mine", "t/1"))
    one.begin("other", NOW)
    assert (one.state("note/a"), one.events("t/1")) == ((), ())
    one.emit("note/a", Noted("theirs", "t/1"))
    one.begin("acme", NOW)
    assert seen(one, "note/a") == [("mine",)]


def test_versions_count_on_from_what_is_committed() -> None:
    known = memory()
    known.streams["acme", "note/a"] = Stream(7, ("old",), 5)
    one = work(known)
    one.emit("note/a", Noted("x"))
    one.emit("note/new", Noted("x"))
    assert one.streams["acme", "note/a"] == Stream(8, ("old", "x"), 5)
    assert one.streams["acme", "note/new"] == Stream(1, ("x",), 0)


def test_a_group_of_decisions_is_taken_back_as_a_whole() -> None:
    one = work()
    one.emit("note/a", Noted("before", "t/1"))
    saved = one.savepoint()
    for what in ("x", "y"):
        one.begin("acme", NOW)
        one.emit("note/a", Noted(what, "t/1"))
        one.emit("note/b", Noted(what, "t/2"))
    one.restore(saved)
    assert seen(one, "note/a", "note/b") == [("before",), ()]
    assert (len(one.events("t/1")), one.events("t/2"), one.emitted) == (1, (), [])

"""All that there is, in one object that is handed about."""

from typing import Any, NamedTuple

import pytest

from domain.kernel.domain import Answerer, Decider, Domain, LetTimePass, Module, timeless
from domain.registry import SCRIP


class Note(NamedTuple):
    """A command, a question and an event."""


def _decide(_work: Any, _command: Any) -> None: ...


NOTES = Module(
    deciders={Note: Decider(lambda _command: (), _decide)},
    answerers={Note: Answerer(lambda _question: (), _decide)},
    kinds={"note/": timeless((), lambda notes, event: (*notes, event), len)},
    events={"noted.v1": Note},
    upcasters={"noted.v0": lambda data: ("noted.v1", data)},
    resources=("notes",),
)


@pytest.mark.parametrize("part", NOTES._fields)
def test_nothing_is_brought_twice(part: str) -> None:
    again = Module(**{part: getattr(NOTES, part)})
    with pytest.raises(ValueError, match="two modules bring"):
        Domain(NOTES, again)


def test_each_domain_has_its_own_kinds() -> None:
    other = timeless("other", lambda state, _event: state, len)
    first, second = Domain(NOTES), Domain(Module(kinds={"note/": other}))
    assert (first.kind_of("note/1").initial, second.kind_of("note/1").initial) == ((), "other")
    with pytest.raises(KeyError):
        first.kind_of("unknown/1")


def test_a_domain_with_more_leaves_the_first_alone() -> None:
    more = SCRIP.joined(NOTES._replace(resources=None))
    assert more.resources is SCRIP.resources
    assert set(more.deciders) == {*SCRIP.deciders, Note}
    assert set(more.events.items()) == {*SCRIP.events.items(), ("noted.v1", Note)}
    assert Note not in SCRIP.deciders
    with pytest.raises(KeyError):
        SCRIP.kind_of("note/1")


def test_another_decider_for_one_command() -> None:
    mine = Decider(lambda _command: ("note/1",), _decide)
    changed = Domain(NOTES).with_decider(Note, mine)
    assert changed.deciders[Note] is mine
    assert changed.answerers == Domain(NOTES).answerers
    assert LetTimePass in changed.deciders


def test_a_stream_of_one_name_is_a_kind_of_its_own() -> None:
    assert SCRIP.kind_of("organisation") is SCRIP.kinds["organisation"]
    assert SCRIP.kind_of("account/user:a:credits") is SCRIP.kinds["account/"]

"""Every event that was ever stored still means the same, and is still written to the same bytes."""

import json
from pathlib import Path

import pytest

from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from tests.golden.examples import ACTOR, CAUSE, EXAMPLES

FOLDER = Path(__file__).parent


def stored(form: str) -> bytes:
    return (FOLDER / f"{form}.json").read_bytes()


def type_of(form: str) -> str:
    """The stored type's name: `credits-reserved.v1` of the form `credits-reserved.v1.2`."""
    return ".".join(form.split(".")[:2])


def newest(type_: str) -> str:
    """The form in which a type is written now."""
    return max((form for form in EXAMPLES if type_of(form) == type_), key=lambda form: (len(form), form))


def test_every_type_has_its_file_and_every_file_its_type() -> None:
    """A type that is no longer written keeps its file: the log still has such events."""
    files = {file.name.removesuffix(".json") for file in FOLDER.glob("*.json")}
    assert {type_of(form) for form in files} == {*SCRIP.events, *SCRIP.upcasters}
    assert {*SCRIP.events, *SCRIP.upcasters} <= files, "a first form for each"
    assert files == set(EXAMPLES)


@pytest.mark.parametrize("form", sorted(EXAMPLES))
def test_decodes_to_what_it_always_meant(form: str) -> None:
    assert LedgerMapper.of(SCRIP).decode(type_of(form), stored(form)) == EXAMPLES[form]


@pytest.mark.parametrize("type_", sorted(SCRIP.events))
def test_is_written_to_the_same_bytes(type_: str) -> None:
    form = newest(type_)
    assert LedgerMapper.of(SCRIP).encode(EXAMPLES[form], ACTOR, CAUSE) == (type_, stored(form))


@pytest.mark.parametrize("form", sorted(EXAMPLES))
def test_says_who_and_why_beside_what(form: str) -> None:
    said = json.loads(stored(form))
    assert list(said) == ["actor", "cause", "data"]
    assert LedgerMapper.of(SCRIP).cause(stored(form)) == CAUSE
    assert said["actor"] == ACTOR

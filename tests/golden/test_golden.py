"""Every event that was ever stored still means the same, and is still written to the same bytes."""

import json
from pathlib import Path

import pytest

from infra.codec import EVENT_TYPES, UPCASTERS, Codec
from tests.golden.examples import ACTOR, CAUSE, EXAMPLES

FOLDER = Path(__file__).parent


def stored(type_: str) -> bytes:
    return (FOLDER / f"{type_}.json").read_bytes()


def test_every_type_has_its_file_and_every_file_its_type() -> None:
    """A type that is no longer written keeps its file: the log still has such events."""
    files = {file.name.removesuffix(".json") for file in FOLDER.glob("*.json")}
    assert files == {*EVENT_TYPES, *UPCASTERS}
    assert files == set(EXAMPLES)


@pytest.mark.parametrize("type_", sorted(EXAMPLES))
def test_decodes_to_what_it_always_meant(type_: str) -> None:
    assert Codec().decode(type_, stored(type_)) == EXAMPLES[type_]


@pytest.mark.parametrize("type_", sorted(EVENT_TYPES))
def test_is_written_to_the_same_bytes(type_: str) -> None:
    assert Codec().encode(EXAMPLES[type_], ACTOR, CAUSE) == (type_, stored(type_))


@pytest.mark.parametrize("type_", sorted(EXAMPLES))
def test_says_who_and_why_beside_what(type_: str) -> None:
    said = json.loads(stored(type_))
    assert list(said) == ["actor", "cause", "data"]
    assert Codec().cause(stored(type_)) == CAUSE
    assert said["actor"] == ACTOR

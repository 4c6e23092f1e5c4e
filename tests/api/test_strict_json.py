"""JSON with one meaning: random values survive, whatever could be read in two ways does not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.fields import strict_json
from api.http.problems import Problem
from domain.money import decimal_text, micros
from domain.text import clean
from infra.strict_json import MAX_DEPTH

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.booleans())
def test_what_is_fine_is_read_as_it_is(value: Any, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    if depth(value) <= MAX_DEPTH:
        assert strict_json(raw) == value


@given(st.text(st.characters(categories=["Cc", "Cs"]), min_size=1, max_size=1), TEXTS)
def test_no_control_character_gets_through(bad: str, around: str) -> None:
    text = around + bad + around
    if bad in "\t\n\r":
        assert clean(text)
        return
    with pytest.raises(Problem):
        strict_json(json.dumps({"a": [text]}).encode())
    with pytest.raises(Problem):
        strict_json(json.dumps({text: 1}).encode())


def status_of(raw: bytes) -> int:
    try:
        strict_json(raw)
    except Problem as problem:
        return problem.status
    return 200


@given(st.binary(max_size=40))
def test_no_bytes_make_it_fail_in_another_way(raw: bytes) -> None:
    assert status_of(raw) in {200, 400}


def test_depth() -> None:
    assert strict_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for raw in (b"[" * 17 + b"]" * 17, b'{"a":' * 17 + b"1" + b"}" * 17, b"[" * 60_000 + b"]" * 60_000):
        with pytest.raises(Problem) as caught:
            strict_json(raw)
        assert (caught.value.code, caught.value.facts["limit"]) == ("too_deep", MAX_DEPTH)
    assert strict_json(b"[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]")  # many, but not deep


@given(st.integers(0, 10**12))
def test_money_survives_the_way_out_and_in(amount: int) -> None:
    assert micros(decimal_text(amount)) == amount

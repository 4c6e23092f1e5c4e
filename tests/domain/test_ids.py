"""The contract's ids: one decision for every edge."""

import pytest

from domain.ids import account_address, is_id, no_dots


@pytest.mark.parametrize("text", ["a", "...", ".a", "u_42", "a@b.c", "x" * 255, "-", "~", "a|b", "a+b", "a=b", "a:b"])
def test_an_id(text: str) -> None:
    assert is_id(text)
    assert account_address(f"user:{text}:credits") == f"user:{text}:credits"


@pytest.mark.parametrize("value", ["", ".", "..", "x" * 256, "a b", "a/b", "a\n", "é", "\0", None, 5, True, b"a"])
def test_no_id(value: object) -> None:
    assert not is_id(value)


@pytest.mark.parametrize("text", ["user:.:credits", "user:..:credits", ".:a:credits", "user:a:..", "user:a", "user::b"])
def test_an_address_of_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="no ids|owner_type"):
        account_address(text)


def test_dots_are_no_name() -> None:
    assert no_dots("a.b") == "a.b"
    for text in (".", ".."):
        with pytest.raises(ValueError, match="must not be"):
            no_dots(text)

"""Ids: RFC 9562's layout, the time in front, and never the same twice."""

from time import time_ns
from uuid import RFC_4122, UUID

from infra.ids import uuid7


def test_a_uuid_of_version_7_has_the_layout_of_the_rfc() -> None:
    before = time_ns() // 1_000_000
    made = [uuid7() for _ in range(2_000)]
    after = time_ns() // 1_000_000
    for text in made:
        value = UUID(text)
        assert str(value) == text
        assert (value.version, value.variant) == (7, RFC_4122)
        assert before <= value.int >> 80 <= after
    assert len(set(made)) == len(made)

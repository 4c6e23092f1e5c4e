"""Each user may have a storage limit of the user's own (S0)."""

import pytest

from domain.storage.commands import MAX_LIMIT, SetStorageLimit
from domain.storage.events import StorageLimitSet
from domain.storage.refusals import InvalidLimit
from tests.domain.scenario import Scenario
from tests.domain.storage.facts import ANNA, MB, limit, now, stored


@pytest.mark.parametrize("amount", [None, 0, 1, 200 * MB, MAX_LIMIT])
def test_s0_each_user_has_a_limit(amount: int | None) -> None:
    """S0-5."""
    Scenario().when(SetStorageLimit(user="anna", limit=amount)).then((ANNA, StorageLimitSet(limit=amount)))


@pytest.mark.parametrize("amount", [-1, MAX_LIMIT + 1])
def test_a_limit_is_in_bounds(amount: int) -> None:
    refusal = InvalidLimit(field="bytes", limit=MAX_LIMIT)
    Scenario().when(limit(amount)).then_refused(refusal)
    assert str(refusal) == f"bytes: must be from 0 to {MAX_LIMIT} bytes."


def test_a_lower_limit_keeps_what_is_stored() -> None:
    """S0-5: bytes count as they are, even past the limit; then nothing is free."""
    use = now(Scenario().given(stored("c1", 5 * MB), of=ANNA).done(limit(MB)))
    assert (use.used, use.limit, use.free) == (5 * MB, MB, 0)

"""Who may settle a reservation by its id: what is known before the decision must still be true in it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from api.generations.commands import reserved_by_caller
from api.http.problems import Problem


@pytest.mark.parametrize(
    ("row", "status", "code"),
    [(None, 404, "not_found"), ({"actor": "worker:w"}, 403, "not_own"), ({"actor": "user:ann"}, 0, "")],
)
def test_only_a_reservation_that_is_there_can_be_ones_own(row: dict[str, str] | None, status: int, code: str) -> None:
    """One that a worker makes after the look must not be released by a user who has guessed its id."""

    async def found(_query: str, **_wanted: object) -> dict[str, str] | None:
        return row

    principal = SimpleNamespace(sub="ann", actor="user:ann")
    call: Any = SimpleNamespace(row=found, org="acme", principal=principal)
    looked = reserved_by_caller(call, "job-7")
    if not status:
        asyncio.run(looked)
        return
    with pytest.raises(Problem) as caught:
        asyncio.run(looked)
    assert (caught.value.status, caught.value.code) == (status, code)

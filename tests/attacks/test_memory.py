"""Half a minute of each way to take the API's memory, side by side, each group on its own process (attack, entry 2).

`scrip bench attacks --seconds 600` does the same for ten minutes, one attack on each process and without long pauses.
"""

from pathlib import Path

import pytest

from benchmarks.attackers import ATTACKS
from benchmarks.attacks import attacked
from tests.api.service import settings_of
from tests.conftest import Database

SECONDS = 30
CALM = 8.0  # the other tests run beside it
GROUPS = (
    ("huge heads", "many headers", "trailers"),
    ("pipelined requests",),
    ("form fields", "form parts", "file"),
    ("unfinished bodies", "tiny chunks", "compressed bodies"),
    ("unread answers", "unread last answers", "unread streams", "idle connections"),
)
MOST_FILES_MB = 20.0


def test_every_attack_is_in_a_group() -> None:
    assert sorted(name for group in GROUPS for name in group) == sorted(ATTACKS)


@pytest.mark.timeout(280)
def test_memory_has_a_bound_and_is_given_back(database: Database, tmp_path: Path) -> None:
    seen = attacked(settings_of(database), tmp_path, GROUPS, SECONDS, calm=CALM)
    assert not [each for each in seen if not each.met], seen
    assert max(each.temporary for each in seen) < MOST_FILES_MB, seen
    assert all(each.opened >= sum(ATTACKS[name].connections for name in each.name.split(", ")) for each in seen)

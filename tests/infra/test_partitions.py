"""Where an organisation lives is decided once: a change would tear every log apart."""

import subprocess
import sys
from collections import Counter

import pytest

from infra.partitions import PLATFORM, partition_of
from tests.waiting import ENOUGH_S


@pytest.mark.parametrize(
    ("org", "partitions", "expected"),
    [
        (PLATFORM, 12, 3),
        ("default", 12, 1),
        ("acme", 12, 0),
        ("acme", 4, 0),
        ("ünïcode", 12, 2),
        ("acme", 1, 0),
        ("acme", 512, 160),
    ],
)
def test_the_place_of_an_organisation_is_the_same_for_ever(org: str, partitions: int, expected: int) -> None:
    assert partition_of(org, partitions) == expected


def test_every_process_says_the_same() -> None:
    code = "from infra.partitions import partition_of; print([partition_of(f'org-{n}', 12) for n in range(100)])"
    for seed in ("0", "1"):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=ENOUGH_S,
        )
        assert found.stdout.strip() == str([partition_of(f"org-{n}", 12) for n in range(100)])


@pytest.mark.parametrize("partitions", [1, 2, 12, 512])
def test_organisations_spread_evenly(partitions: int) -> None:
    count = Counter(partition_of(f"org-{number}", partitions) for number in range(partitions * 500))
    assert set(count) == set(range(partitions))
    assert max(count.values()) < 500 * 1.3
    assert min(count.values()) > 500 * 0.7

"""A worker that is killed: whatever the moment, its next start leaves the account as if it had not been."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from scrip_client import Scrip

from tests.api.generating import balance, give
from tests.api.service import Service
from tests.waiting import patient

PROGRAM = Path(__file__).with_name("dying_worker.py")


def killed(service: Service, journal: Path, user: str, moment: str) -> None:
    """Run a worker until that moment, and kill it."""
    arguments = [service.url, service.token("worker", "w"), str(journal), user, moment]
    worker = subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline().strip() == moment
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=patient(20))


@pytest.mark.parametrize(
    ("moment", "before", "after"),
    [
        ("running", (10, 90, 0), (100, 0, 0)),  # no outcome: all goes back
        ("ran", (10, 90, 0), (10, 0, 90)),  # said, not sent
        ("sent", (10, 0, 90), (10, 0, 90)),  # sent, not known to have arrived
    ],
)
def test_the_next_start_settles_it_exactly_once(
    service: Service, tmp_path: Path, user: str, moment: str, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    give(service, f"user:{user}:credits", 100)
    killed(service, tmp_path / "j", user, moment)
    assert balance(service, user) == before
    for start in range(3):
        scrip = Scrip(service.url, token=service.token("worker", "w"), journal=tmp_path / "j")
        found = scrip.recover()
        scrip.close()
        said = [] if start else [f"job-{user}"]
        assert (found.returned if moment == "running" else found.settled) == said
        assert (found.refused, found.waiting, balance(service, user)) == ({}, [], after)

"""A role's process ends within a bound, whatever its threads do."""

import subprocess
import sys

import pytest

from tests.waiting import ENOUGH_S

# A role with a thread that waits for ever, in the place that is named; it is told to stop as soon as it serves.
ROLE = """
import asyncio, os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from cli.commands import roles

async def run(settings, stop, on_ready=None):
    threads = None if sys.argv[1] == "asyncio" else ThreadPoolExecutor(1)
    asyncio.get_running_loop().run_in_executor(threads, Event().wait)
    if sys.argv[2] == "fails":
        raise LookupError("planted")
    os.kill(os.getpid(), signal.SIGTERM)
    await stop.wait()

roles.END_S = 0.5
roles._serve(run, None, None)
"""


@pytest.mark.parametrize("how", ["told", "fails"])
@pytest.mark.parametrize("threads", ["asyncio", "own"])
def test_a_thread_that_waits_for_ever_does_not_keep_the_process(threads: str, how: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ROLE, threads, how], capture_output=True, timeout=ENOUGH_S, text=True, check=False
    )
    assert ended.returncode == 1
    assert "the role has not ended" in ended.stderr + ended.stdout

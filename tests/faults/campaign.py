"""A service under load while its processes are killed, and the check of what is left.

`python -m tests.faults.campaign --minutes N [--seed S] [--data DIR]` for longer ones than the suite's.
"""

import argparse
import asyncio
import logging
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from cli.service.service import Service
from infra.embedded.ports import free_port
from tests.faults import oracle
from tests.faults.clients import Clients
from tests.faults.history import History
from tests.faults.killer import Killer
from tests.waiting import patient

FINISH_S = patient(60.0)
CALM_S = 1.0  # load before the first kill and after the last

Say = Callable[[str], None]
Result = TypeVar("Result")


def campaign(data: Path, seed: int, say: Say, seconds: float = 0.0, pause_s: float = 0.0) -> list[str]:
    """One round of kills, or as many as `seconds` take; returns what was killed. Raises AssertionError.

    The same seed kills in the same order and asks for the same things. `data` keeps logs and `history.jsonl`.
    """
    started = time.monotonic()
    # A port that is nobody's default: while the API is dead, no other service shall take it.
    with Service(data, port=free_port(), notice=say) as service, History(data / "history.jsonl") as history:
        say(f"{time.monotonic() - started:.0f} s: the service is up")
        killer = Killer(service, history, seed, say)
        clients = Clients(service.settings, service.url, history, seed, pause_s=pause_s)
        done = _thread(lambda: asyncio.run(clients.run()))
        killer.tend(CALM_S)
        killer.run(seconds)
        killer.tend(CALM_S)
        clients.stop()
        _tend_until(killer, done, "the clients have finished")
        say(f"{time.monotonic() - started:.0f} s: {len(history.told)} operations are definite")
        _tend_until(killer, _thread(lambda: oracle.wait_until_settled(service.settings, history)), "settled")
        say(f"{time.monotonic() - started:.0f} s: everything is settled")
        checking = _thread(lambda: asyncio.run(oracle.check(service.settings, history, clients.expected)))
        _tend_until(killer, checking, "checked")
        counts = ", ".join(f"{count:,} {what}" for what, count in checking.result().items())
        kinds = ", ".join(f"{times} {name}" for name, times in sorted(Counter(killer.killed).items()))
        say(f"{time.monotonic() - started:.0f} s: {counts}; {len(killer.killed)} kills: {kinds}")
        return killer.killed


def _thread(run: Callable[[], Result]) -> "Future[Result]":
    """Run it in a thread of its own, which does not keep the process from ending."""
    done: Future[Result] = Future()

    def call() -> None:
        try:
            done.set_result(run())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            done.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return done


def _tend_until(killer: Killer, done: "Future[Any]", what: str) -> None:
    end = time.monotonic() + FINISH_S
    while not done.done():
        assert time.monotonic() < end, f"not within {FINISH_S:g} s: {what}"
        killer.tend(0.05)
    done.result()


def main() -> None:
    """Run a campaign; the seed is the first and the last thing said."""
    parser = argparse.ArgumentParser(description="Kill processes of a service under load and check what is left.")
    parser.add_argument("--minutes", type=float, default=0.0, help="how long to kill; 0 for one round")
    parser.add_argument("--seed", type=int, default=None, help="repeat the campaign with this seed")
    parser.add_argument("--data", type=Path, default=None, help="an empty folder; kept afterwards")
    asked = parser.parse_args()
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    data = asked.data or Path(tempfile.mkdtemp(prefix="scrip-campaign-"))
    run(data, seed, asked.minutes * 60)


def run(data: Path, seed: int, seconds: float = 0.0, pause_s: float = 0.0) -> list[str]:
    """A campaign that says what it does on standard output."""

    def say(what: str) -> None:
        sys.stdout.write(what + "\n")
        sys.stdout.flush()

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says at length that the broker is away
    say(f"seed {seed}")
    try:
        return campaign(data, seed, say, seconds, pause_s)
    finally:
        say(f"logs and history are in {data}")
        say(f"seed {seed}")


if __name__ == "__main__":
    main()

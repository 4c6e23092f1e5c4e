"""Batches of a busy writer while a second writer process, stopped for 100,000 events, goes on.

`python -m benchmarks.neighbour URI` is the second one."""

import signal
import subprocess
import sys

from benchmarks.figures import Figure, Report
from benchmarks.load import Load
from benchmarks.stage import database_only
from domain.registry import SCRIP
from infra.tuning import tune_interpreter
from infra.writer.writer import Writer

IDLE_EVENTS = 100_000
ACTIVE_S = 5.0


def run(report: Report) -> list[Figure]:
    """Both writers serve the same organisation, so the second has everything that the first wrote to catch up with."""
    tune_interpreter()
    with database_only() as stage, Writer(stage.owner_uri, SCRIP) as writer:
        load = Load(writer, 1000)
        second = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.neighbour", stage.owner_uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            if second.stdin is None or second.stdout is None or second.stdout.readline() != "active\n":
                raise RuntimeError("the second writer did not start")
            second.send_signal(signal.SIGSTOP)
            report(f"{IDLE_EVENTS:,} events while the second writer is stopped")
            load.run(IDLE_EVENTS)
            report("the second writer goes on")
            alone = _longest_batch(writer, load)
            second.send_signal(signal.SIGCONT)
            second.stdin.write("go on\n")
            second.stdin.flush()
            beside = _longest_batch(writer, load)
        finally:
            second.send_signal(signal.SIGCONT)
            second.terminate()
            second.wait()
    waited = beside[1] * 1000
    return [
        Figure("neighbour", "longest batch alone", alone[0] * 1000, "ms"),
        Figure("neighbour", "longest batch beside the writer that woke up", beside[0] * 1000, "ms"),
        Figure("neighbour", "longest wait of a batch for the other writer", waited, "ms", "at most 100", waited <= 100),
    ]


def _longest_batch(writer: Writer, load: Load) -> tuple[float, float]:
    """The longest batch of some seconds with 32 commands waiting, and its longest wait for the partition's lock."""
    writer.counters.longest_batch_s = writer.counters.longest_lock_wait_s = 0.0
    load.rate(ACTIVE_S, 32)
    return writer.counters.longest_batch_s, writer.counters.longest_lock_wait_s


def main(owner_uri: str) -> None:
    """Write a little, wait for a line of input, then write until ended."""
    tune_interpreter()
    with Writer(owner_uri, SCRIP) as writer:
        load = Load(writer, 100)
        load.run(1_000, waiting=8)
        sys.stdout.write("active\n")
        sys.stdout.flush()
        sys.stdin.readline()  # idle, without a lock, until a line comes
        while True:
            load.rate(1.0, 8)


if __name__ == "__main__":
    main(sys.argv[1])

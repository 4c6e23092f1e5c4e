"""The other process of the benchmark `neighbour`: a writer on the same organisation, a few commands at a time."""

import sys

from benchmarks.load import Load
from domain.registry import SCRIP
from infra.tuning import tune_interpreter
from infra.writer.writer import Writer


def main(owner_uri: str) -> None:
    """Write a little, wait for a line of input, then write until ended."""
    tune_interpreter()
    with Writer(owner_uri, SCRIP) as writer:
        load = Load(writer, 100)
        load.run(1_000, waiting=8)
        sys.stdout.write("active\n")
        sys.stdout.flush()
        sys.stdin.readline()  # idle, and holding no lock, until told to go on
        while True:
            load.rate(1.0, 8)


if __name__ == "__main__":
    main(sys.argv[1])

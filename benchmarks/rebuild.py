"""Events a second into a new generation of the read models, beside a raw read of the log."""

from time import monotonic

import psycopg

from benchmarks.figures import Figure, Report
from benchmarks.stage import Stage, database_only
from consumers.rebuild import rebuild
from infra.log.statements import COLUMNS
from infra.tuning import tune_interpreter

COMMANDS = 200_000


def run(report: Report) -> list[Figure]:
    """Rebuild the read models of about 200,000 events."""
    tune_interpreter()
    with database_only() as stage:
        report(f"filling the log with {COMMANDS:,} commands")
        events = stage.fill(COMMANDS)
        report("raw read of the log")
        raw = _raw_read(stage)
        report("rebuild")
        started = monotonic()
        rebuild(stage.settings())
        rate = events / (monotonic() - started)
    return [
        Figure("rebuild", "raw read of the log", raw, "events/s"),
        Figure("rebuild", "rebuild of all read models", rate, "events/s", "at least 20,000", rate >= 20_000),
    ]


def _raw_read(stage: Stage) -> float:
    started, seen = monotonic(), 0
    with psycopg.connect(stage.owner_uri) as connection, connection.cursor(name="raw", binary=True) as cursor:
        cursor.itersize = 5_000
        for _ in cursor.execute(f"select {COLUMNS} from events order by partition, position"):
            seen += 1
    return seen / (monotonic() - started)

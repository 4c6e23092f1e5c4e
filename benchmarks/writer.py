"""Commands a second through the writer, against the naive SQL ledger on the same server in the same run.

Beside plain reservations: generations that take five resources (credits, storage, group, budget, plan tokens).
"""

from collections.abc import Callable
from functools import partial
from statistics import median

from benchmarks import naive
from benchmarks.figures import Figure, Report
from benchmarks.load import Load
from benchmarks.stage import database_only, fresh_database
from benchmarks.work import Generations
from infra.tuning import tune_interpreter
from infra.writer.writer import Writer

ROUNDS = 3
FIVE = "Scrip, 1,000 waiting, generations with five resources"


def run(report: Report, *, seconds: int = 5) -> list[Figure]:
    """1,000 accounts and one, each beside its yardstick. Every figure is the median of three windows of `seconds`.

    The windows alternate, so that a machine that is slow for a while is slow for both sides.
    """
    tune_interpreter()
    measured: dict[str, list[float]] = {}
    with database_only() as stage:
        naive_uri = fresh_database(stage.owner_uri, migrated=False)
        naive.prepare(naive_uri)
        with Writer(stage.owner_uri) as writer:
            loads = {accounts: Load(writer, accounts) for accounts in (1000, 1)}
            generations = Load(writer, 1000, work=Generations(1000))
            for number in range(ROUNDS):
                for accounts, load in loads.items():
                    report(f"round {number + 1} of {ROUNDS}, {_of(accounts)}")
                    windows: dict[str, Callable[[], float]] = {
                        "naive SQL": partial(naive.rate, naive_uri, accounts=accounts, seconds=seconds),
                        "naive SQL in one statement": partial(
                            naive.rate, naive_uri, accounts=accounts, seconds=seconds, one_statement=True
                        ),
                        "Scrip, 1,000 waiting": partial(load.rate, seconds, 1000),
                        "Scrip, 32 waiting": partial(load.rate, seconds, 32),
                    }
                    for what, window in windows.items():
                        measured.setdefault(f"{what}, {_of(accounts)}", []).append(window())
                report(f"round {number + 1} of {ROUNDS}, generations")
                measured.setdefault(FIVE, []).append(generations.rate(seconds, 1000))
    medians = {what: median(values) for what, values in measured.items()}
    ours, hot = medians["Scrip, 1,000 waiting, 1,000 accounts"], medians["Scrip, 1,000 waiting, one account"]
    cost = ours / medians[FIVE]
    return [
        *(Figure("writer", what, value, "commands/s") for what, value in medians.items()),
        _ratio("Scrip to naive SQL, 1,000 accounts", ours / medians["naive SQL, 1,000 accounts"], 2),
        _ratio("Scrip to naive SQL, one account", hot / medians["naive SQL, one account"], 8),
        _ratio("Scrip, one account to 1,000 accounts", hot / ours, 0.9),
        Figure("writer", "a generation to a reservation", cost, "times as long", "at most 4.5", cost <= 4.5),
    ]


def _of(accounts: int) -> str:
    return "one account" if accounts == 1 else f"{accounts:,} accounts"


def _ratio(what: str, value: float, bar: float) -> Figure:
    return Figure("writer", what, value, "times", f"at least {bar}", value >= bar)

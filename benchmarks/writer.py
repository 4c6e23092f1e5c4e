"""Commands a second through the writer, against the naive SQL ledger on the same server in the same run.

Beside plain reservations: generations that take five resources (credits, storage, group, budget, plan tokens).
"""

import re
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from statistics import median

import psycopg

from benchmarks.figures import Figure, Report
from benchmarks.load import Generations, Load
from benchmarks.stage import database_only, fresh_database
from domain.registry import SCRIP
from infra.embedded.postgres import server_program
from infra.tuning import tune_interpreter
from infra.writer.writer import Writer

ROUNDS = 3
FIVE = "Scrip, 1,000 waiting, generations with five resources"
NAIVE_CLIENTS = 32
AMOUNT = 10

NAIVE_TABLES = """
    create table account (id int primary key, available bigint not null, reserved bigint not null default 0);
    create table entry (
        id bigserial primary key, account int not null, kind text not null, amount bigint not null,
        key uuid not null unique, at timestamptz not null default now());
    create index on entry (account);
    insert into account (id, available) select i, 1000000000000 from generate_series(1, 1000) i;
"""
RESERVE = (
    f"update account set available = available - {AMOUNT}, reserved = reserved + {AMOUNT}"
    f" where id = :a and available >= {AMOUNT}"
)
INSERT = f"insert into entry (account, kind, amount, key) values (:a, 'reserve', {AMOUNT}, gen_random_uuid())"
TRANSACTION = f"begin;\n{RESERVE};\n{INSERT};\ncommit;\n"
ONE_STATEMENT = (
    f"with paid as ({RESERVE} returning id)"
    f" insert into entry (account, kind, amount, key) select id, 'reserve', {AMOUNT}, gen_random_uuid() from paid;\n"
)


def run(report: Report, *, seconds: int = 5) -> list[Figure]:
    """1,000 accounts and one, each beside its yardstick. Every figure is the median of three windows of `seconds`.

    The windows alternate, so that a machine that is slow for a while is slow for both sides.
    """
    tune_interpreter()
    measured: dict[str, list[float]] = {}
    with database_only() as stage:
        naive_uri = fresh_database(stage.owner_uri, migrated=False)
        _prepare_naive(naive_uri)
        with Writer(stage.owner_uri, SCRIP) as writer:
            loads = {accounts: Load(writer, accounts) for accounts in (1000, 1)}
            generations = Load(writer, 1000, work=Generations(1000))
            for number in range(ROUNDS):
                for accounts, load in loads.items():
                    report(f"round {number + 1} of {ROUNDS}, {_of(accounts)}")
                    windows: dict[str, Callable[[], float]] = {
                        "naive SQL": partial(_naive_rate, naive_uri, accounts=accounts, seconds=seconds),
                        "naive SQL in one statement": partial(
                            _naive_rate, naive_uri, accounts=accounts, seconds=seconds, one_statement=True
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


def _prepare_naive(owner_uri: str) -> None:
    """Create the naive ledger's tables, with 1,000 accounts."""
    with psycopg.connect(owner_uri, autocommit=True) as connection:
        connection.execute(NAIVE_TABLES)


def _naive_rate(owner_uri: str, *, accounts: int, seconds: int, one_statement: bool = False) -> float:
    """Commands a second of the naive ledger with 32 clients on `accounts` accounts, by `pgbench -M prepared`.

    Raises RuntimeError where pgbench fails.
    """
    choice = f"\\set a random(1, {accounts})\n"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(choice + (ONE_STATEMENT if one_statement else TRANSACTION))
        script.flush()
        options = ["-n", "-M", "prepared", "-c", str(NAIVE_CLIENTS), "-j", "2", "-T", str(seconds), "-f", script.name]
        run = subprocess.run(
            [str(server_program("pgbench")), *options, owner_uri], capture_output=True, text=True, check=False
        )
    found = re.search(r"tps = ([\d.]+)", run.stdout)
    if found is None:
        raise RuntimeError(f"pgbench failed: {run.stderr.strip()[-500:]}")
    return float(found[1])

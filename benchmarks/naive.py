"""The yardstick of the writer: the SQL ledger that one would write first, driven by pgbench."""

import re
import subprocess
import tempfile

import psycopg

from infra.embedded.postgres_data import server_program

CLIENTS = 32
AMOUNT = 10

TABLES = """
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


def prepare(owner_uri: str) -> None:
    """Create the naive ledger's tables, with 1,000 accounts."""
    with psycopg.connect(owner_uri, autocommit=True) as connection:
        connection.execute(TABLES)


def rate(owner_uri: str, *, accounts: int, seconds: int, one_statement: bool = False) -> float:
    """Commands a second of the naive ledger with 32 clients on `accounts` accounts, by `pgbench -M prepared`.

    Raises RuntimeError where pgbench fails.
    """
    choice = f"\\set a random(1, {accounts})\n"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(choice + (ONE_STATEMENT if one_statement else TRANSACTION))
        script.flush()
        options = ["-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds), "-f", script.name]
        run = subprocess.run(
            [str(server_program("pgbench")), *options, owner_uri], capture_output=True, text=True, check=False
        )
    found = re.search(r"tps = ([\d.]+)", run.stdout)
    if found is None:
        raise RuntimeError(f"pgbench failed: {run.stderr.strip()[-500:]}")
    return float(found[1])

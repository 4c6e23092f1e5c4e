"""From the HTTP answer until the balance read model covers its position, at 500 commands a second."""

import asyncio
from collections.abc import Callable
from itertools import cycle
from time import monotonic
from urllib.parse import urlsplit

import msgspec
import psycopg

from benchmarks.figures import Figure, Report, percentile
from benchmarks.http import BODY, admin_token, grant
from benchmarks.http_load import Ask, open_load, request
from benchmarks.stage import whole_service
from infra.partitions import partition_of

RATE = 500
SECONDS = 20
WARM_UP_S = 3
ACCOUNTS = 32
ORG = "bench"


def run(report: Report) -> list[Figure]:
    """An open loop of debits at a steady rate; every answer's position is waited for in the read models' checkpoint."""
    with whole_service("api", "relay", "projector") as service:
        token = admin_token(service.settings)
        port = urlsplit(service.url).port or 0
        grant(service.url, token, ACCOUNTS)
        report(f"{RATE} commands/s for {SECONDS} s")
        partition = partition_of(ORG, service.settings.partitions)
        reader = service.settings.projector_url.get_secret_value()
        lags, commands = asyncio.run(_measure(port, token, reader, partition))
    p99 = percentile(lags, 0.99) * 1000
    return [
        Figure("lag", "commands a second", commands / SECONDS, "commands/s"),
        Figure("lag", "p50", percentile(lags, 0.5) * 1000, "ms"),
        Figure("lag", "p99", p99, "ms", "under 250", p99 < 250),
        Figure("lag", "longest", max(lags) * 1000, "ms"),
    ]


async def _measure(port: int, token: str, reader: str, partition: int) -> tuple[list[float], int]:
    waiting: list[tuple[int, float]] = []  # position and time of the answers that are not covered yet
    lags: list[float] = []
    done = asyncio.Event()
    watcher = asyncio.create_task(_watch(reader, partition, waiting, lags, done))
    await open_load(port, _debits(token, []), RATE, WARM_UP_S)
    timed = await open_load(port, _debits(token, waiting), RATE, SECONDS)
    done.set()
    await watcher
    if timed.failures:
        raise RuntimeError(timed.failures[0])
    return lags, len(timed.late)


def _debits(token: str, waiting: list[tuple[int, float]]) -> Callable[[], Ask]:
    """Debits of one account after the other; each answer adds its position and time to `waiting`."""
    accounts = cycle(f"/api/v1/accounts/user:u{number}:credits/debits" for number in range(ACCOUNTS))

    def answered(answer: bytes) -> None:
        waiting.append((int(msgspec.json.decode(answer)["position"]), monotonic()))

    return lambda: Ask("debit", request("POST", next(accounts), token, BODY), answered)


async def _watch(
    reader: str, partition: int, waiting: list[tuple[int, float]], lags: list[float], done: asyncio.Event
) -> None:
    """Look at the checkpoint every 5 ms and note how old the answers are that it has come to cover."""
    async with await psycopg.AsyncConnection.connect(reader, autocommit=True) as connection:
        while not done.is_set() or waiting:
            found = await connection.execute("select position from read.checkpoints where partition = %s", (partition,))
            row = await found.fetchone()
            now, reached = monotonic(), row[0] if row else 0
            lags += [now - answered for position, answered in waiting if position <= reached]
            waiting[:] = [(position, answered) for position, answered in waiting if position > reached]
            await asyncio.sleep(0.005)

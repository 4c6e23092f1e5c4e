"""From the HTTP answer until the balance read model covers its position, at 500 commands a second."""

import asyncio
from time import monotonic
from urllib.parse import urlsplit

import msgspec
import psycopg

from benchmarks.figures import Figure, Report, percentile
from benchmarks.http import BODY, admin_token, grant
from benchmarks.http_load import Connection
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
    await _debits(port, token, [], WARM_UP_S)
    commands = await _debits(port, token, waiting, SECONDS)
    done.set()
    await watcher
    return lags, commands


async def _debits(port: int, token: str, waiting: list[tuple[int, float]], seconds: int) -> int:
    """Start a debit every 2 ms, whether or not earlier ones are answered."""
    connections: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(ACCOUNTS):
        connections.put_nowait(await Connection.open("127.0.0.1", port))

    async def one(number: int) -> None:
        connection = await connections.get()
        path = f"/api/v1/accounts/user:u{number % ACCOUNTS}:credits/debits"
        status, answer = await connection.post(token, path, BODY)
        connections.put_nowait(connection)
        if status != 201:
            raise RuntimeError(f"a debit failed: {answer!r}")
        waiting.append((int(msgspec.json.decode(answer)["position"]), monotonic()))

    started = monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(RATE * seconds):
            await asyncio.sleep(max(0.0, started + number / RATE - monotonic()))
            tasks.create_task(one(number))
    while not connections.empty():
        connections.get_nowait().close()
    return RATE * seconds


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

"""Resident memory of API, relay and projector while 1,000,000 commands go through them."""

import asyncio
from urllib.parse import urlsplit

import msgspec
import psutil

from benchmarks.figures import Figure, Report
from benchmarks.http import admin_token, grant
from benchmarks.http_load import Connection, batch_of_pairs
from benchmarks.stage import whole_service
from cli.service.service import Service

COMMANDS = 1_000_000
BATCH = 1_000  # commands in one POST /api/v1/batch
CONNECTIONS = 4
ACCOUNTS = 1_000
ROLES = ("api", "relay", "projector")
FLAT = 1.1  # at the end at most a tenth more than half-way
MB = 1_048_576


def run(report: Report) -> list[Figure]:
    """Reserve and capture in batches over HTTP on 1,000 accounts; memory is read half-way and at the end."""
    with whole_service(*ROLES) as service:
        token = admin_token(service.settings)
        port = urlsplit(service.url).port or 0
        grant(service.url, token, ACCOUNTS)
        sizes: list[dict[str, float]] = []
        for half in ("first", "second"):
            report(f"the {half} {COMMANDS // 2:,} commands")
            asyncio.run(_commands(port, token, COMMANDS // 2))
            sizes.append(_resident(service))
    figures = []
    for role in ROLES:
        half_way, end = sizes[0][role], sizes[1][role]
        figures += [
            Figure("memory", f"{role} after {COMMANDS // 2:,} commands", half_way, "MB"),
            Figure("memory", f"{role} after {COMMANDS:,} commands", end, "MB", "under 200", end < 200),
            Figure("memory", f"{role}, end to half-way", end / half_way, "times", "flat", end <= half_way * FLAT),
        ]
    return figures


async def _commands(port: int, token: str, commands: int) -> None:
    batches = iter(range(commands // BATCH))
    users = [f"u{number}" for number in range(ACCOUNTS)]

    async def client() -> None:
        connection = await Connection.open("127.0.0.1", port)
        for _ in batches:
            status, answer = await connection.post(token, "/api/v1/batch", batch_of_pairs(users, BATCH))
            failed = [result for result in msgspec.json.decode(answer)["results"] if result["status"] not in (200, 201)]
            if status != 200 or failed:
                raise RuntimeError(f"a batch failed: {status} {failed[:1]}")
        connection.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


def _resident(service: Service) -> dict[str, float]:
    return {name: psutil.Process(pid).memory_info().rss / MB for name, pid in service.role_pids().items()}

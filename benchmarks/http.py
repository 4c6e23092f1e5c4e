"""Reserve and capture over HTTP with 32 connections, beside an empty FastAPI handler with the same bodies."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from urllib.parse import urlsplit

import httpx

from benchmarks.figures import Figure, Report, percentile
from benchmarks.http_load import Answered, Next, load, pairs
from benchmarks.stage import whole_service
from cli.service.role_process import AHEAD, give_place
from cli.service.tokens import signed_token
from infra.embedded.ports import choose_port
from infra.settings import Settings

CONNECTIONS = 32
ROUNDS = 3
BODY = b'{"amount": 10}'


def run(report: Report, *, seconds: int = 6) -> list[Figure]:
    """One API process; windows of `seconds` on both servers alternate, and every figure is the median of three."""
    ours: list[Answered] = []
    empty: list[Answered] = []
    with whole_service("api") as service, empty_api() as empty_port:
        token = admin_token(service.settings)
        port = urlsplit(service.url).port or 0
        grant(service.url, token, CONNECTIONS)
        for number in range(ROUNDS):
            report(f"round {number + 1} of {ROUNDS}")
            empty.append(asyncio.run(load("127.0.0.1", empty_port, token, _clients(), seconds)))
            ours.append(asyncio.run(load("127.0.0.1", port, token, _clients(), seconds)))
    for answered in (*ours, *empty):
        if set(answered.statuses) - {200, 201}:
            raise RuntimeError(f"requests failed: {answered.statuses}")
    rates = [median(len(answered.seconds) / seconds for answered in side) for side in (empty, ours)]
    times = [second for answered in ours for second in answered.seconds]
    ratio = rates[1] / rates[0]
    return [
        Figure("http", "empty FastAPI handler, 32 connections", rates[0], "requests/s"),
        Figure("http", "Scrip, reserve and capture, 32 connections", rates[1], "requests/s"),
        Figure("http", "Scrip, pairs of reserve and capture", rates[1] / 2, "pairs/s"),
        Figure("http", "Scrip to empty handler", ratio, "times", "at least 0.4", ratio >= 0.4),
        *(Figure("http", f"Scrip, p{share}", percentile(times, share / 100) * 1000, "ms") for share in (50, 95, 99)),
    ]


def admin_token(settings: Settings) -> str:
    """A token for everything in the organisation `bench`."""
    return signed_token(settings, org="bench", sub="bench", role="org_admin", ttl_s=86_400)


def _clients() -> list[Next]:
    return [pairs(f"user:u{number}:credits", BODY) for number in range(CONNECTIONS)]


def grant(url: str, token: str, accounts: int) -> None:
    """Give the accounts user:u0:credits and so on 10^12 credits each."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        for number in range(accounts):
            granted = client.post(
                f"/api/v1/accounts/user:u{number}:credits/grants", json={"amount": 10**12, "source": "purchase"}
            )
            granted.raise_for_status()


@contextmanager
def empty_api() -> Iterator[int]:
    """The yardstick, served on the port that is returned until the block ends."""
    port = choose_port(None, None)
    # In a session of its own and ahead of the others, as `scrip up` runs the API.
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.empty_api", str(port)], start_new_session=True)
    try:
        give_place(server.pid, AHEAD)
        asyncio.run(_until_it_listens(port))
        yield port
    finally:
        server.terminate()
        server.wait()


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

"""Runs a demo on a service that serves, and shows it."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from psycopg import AsyncConnection
from rich.live import Live

from cli.demo.outcome import Result, await_decisions, compare
from cli.demo.plan import Plan, make_plan
from cli.demo.platform import Platform
from cli.demo.tally import Tally
from cli.demo.workers import Workers
from cli.output import console, say, say_table
from cli.service.interrupt import run_async
from cli.service.service import Service
from infra.kafka_client import kafka_arguments

REFRESH_S = 0.1


def run_demo(service: Service, generations: int, seed: int) -> tuple[Tally, Result]:
    """Simulate `generations` on the running service, live on standard error. Raises Failure when it cannot go on."""
    plan = make_plan(secrets.token_hex(3), generations, seed)
    tally = Tally(planned=len(plan.generations))
    try:
        return tally, run_async(_run(service, plan, tally))
    except BaseExceptionGroup as failures:  # of a task group: the first failure ended the others
        raise _first(failures) from None


async def _run(service: Service, plan: Plan, tally: Tally) -> Result:
    settings = service.settings
    producer = AIOKafkaProducer(**kafka_arguments(settings), enable_idempotence=True)
    reader = settings.reader_url.get_secret_value()
    async with (
        httpx.AsyncClient(base_url=service.url, trust_env=False) as http,
        await AsyncConnection.connect(reader, autocommit=True) as connection,
    ):
        platform = Platform(http, settings, plan, tally)
        await producer.start()
        try:
            await platform.grant_all()
            await platform.be_refused()
            since = await _time(connection)
            tally.began = time.monotonic()
            workers = Workers(settings, plan, platform, producer, tally)
            with Live(get_renderable=tally.as_table, console=console(stderr=True), auto_refresh=False) as live:
                showing = asyncio.create_task(_refresh(live))
                try:
                    await workers.run()
                    await await_decisions(connection, platform, plan, workers, since)
                    tally.ended = time.monotonic()
                finally:
                    showing.cancel()
            return await compare(connection, platform, plan, workers, tally)
        finally:
            await producer.stop()


async def _refresh(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(REFRESH_S)


async def _time(connection: AsyncConnection[Any]) -> Any:
    row = await (await connection.execute("select scrip_now()")).fetchone()
    return row[0] if row else None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def show_result(tally: Tally, result: Result) -> None:
    """The balances, the counts and the throughput, for a person."""
    columns = ("organisation", "user", "granted", "debited", "reserved", "available")
    say_table("Balances", columns, result.balances)
    quarantined = ((f"quarantine: {name}", count) for name, count in result.quarantined.items())
    counts = [*sorted(result.events.items()), *quarantined]
    say_table("What happened", ("event", "count"), counts)
    for refusal in tally.refusals:
        say(f'Refused, as it must be: "{refusal}"')
    say(
        f"{tally.rate:.0f} generations/s begun by simulated users and workers; {tally.requests} requests and"
        f" {tally.messages} messages in {tally.seconds:.1f} s, the wait for what expires included"
    )
    for difference in result.differences:
        say(f"DIFFERENT: {difference}")

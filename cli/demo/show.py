"""Runs a demo on a service that serves, live."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from psycopg import AsyncConnection
from rich.live import Live

from cli.demo.caller import Caller
from cli.demo.needs import Needs
from cli.demo.outcome import Result, await_decisions, compare
from cli.demo.plan import Plan, make_plan
from cli.demo.refusals import Refusal, be_refused
from cli.demo.setup import price_all, set_up_needs, set_up_organisations
from cli.demo.tally import Tally
from cli.demo.workers import Workers
from cli.output import console
from cli.service.interrupt import run_async
from cli.service.service import Service
from infra.kafka.client import kafka_arguments
from infra.postgres.session import options
from infra.settings import Settings

REFRESH_S = 0.1


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a demo has to show."""

    plan: Plan
    tally: Tally
    result: Result
    refusals: list[Refusal]


def run_demo(service: Service, generations: int, seed: int) -> Shown:
    """Simulate `generations` on the running service, live on standard error. Raises Failure when it cannot go on."""
    plan = make_plan(secrets.token_hex(3), generations, seed, service.settings.rate_limit)
    try:
        return run_async(_run(service, plan))
    except BaseExceptionGroup as failures:  # of a task group: the first failure ended the others
        raise _first(failures) from None


async def _run(service: Service, plan: Plan) -> Shown:
    settings = service.settings
    tally = Tally(planned=len(plan.generations))
    producer = AIOKafkaProducer(**kafka_arguments(settings), enable_idempotence=True)
    auditor = settings.auditor_url.get_secret_value()
    async with (
        httpx.AsyncClient(base_url=service.url, trust_env=False) as http,
        await AsyncConnection.connect(auditor, autocommit=True, options=options()) as connection,
    ):
        caller = Caller(http, settings, tally)
        await producer.start()
        try:
            return await _show(settings, plan, caller, producer, connection, tally)
        finally:
            await producer.stop()


async def _show(
    settings: Settings, plan: Plan, caller: Caller, producer: Any, connection: AsyncConnection[Any], tally: Tally
) -> Shown:
    await set_up_organisations(caller)
    needs = Needs(plan, await price_all(caller, plan.run))
    plan_tokens = await set_up_needs(caller, needs)
    since = await _time(connection)
    tally.began = time.monotonic()
    workers = Workers(settings, plan, needs, caller, producer, tally)
    with Live(get_renderable=tally.as_table, console=console(stderr=True), auto_refresh=False) as live:
        showing = asyncio.create_task(_refresh(live))
        try:
            async with asyncio.TaskGroup() as group:
                refused = group.create_task(be_refused(caller, plan.run, settings.rate_limit))
                group.create_task(workers.run())
            await await_decisions(connection, plan, workers, since)
            tally.ended = time.monotonic()
        finally:
            showing.cancel()
    result = await compare(connection, caller, plan, needs, workers, plan_tokens)
    refusals, full, wrong = refused.result()
    result.groups += full
    result.differences += wrong
    return Shown(plan, tally, result, refusals)


async def _refresh(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(REFRESH_S)


async def _time(connection: AsyncConnection[Any]) -> datetime:
    row = await (await connection.execute("select scrip_now()")).fetchone()
    if row is None:
        raise LookupError("the database told no time")
    now: datetime = row[0]
    return now


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

"""Runs a demo on a service that serves, live, and shows its last screen: all five systems, refusals, what happened."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from psycopg import AsyncConnection
from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.demo.caller import Caller, Tally
from cli.demo.figures import GroupFigures, Level, Needs, UserFigures
from cli.demo.outcome import Result, await_decisions, compare
from cli.demo.plan import Plan, make_plan
from cli.demo.refusals import Refusal, be_refused
from cli.demo.setup import price_all, set_up_needs, set_up_organisations
from cli.demo.workers import Workers
from cli.importing.send import database_time
from cli.output import cell, console
from cli.service.interrupt import run_async
from cli.service.service import Service
from domain.generations.request import MB
from domain.groups.now import status
from domain.wording import bytes_text, percent_text, usd_text
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
    since = await database_time(connection)
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


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


WIDE = 110  # columns from which panels stand side by side
BAR = 10


def screen(shown: Shown, width: int) -> RenderableType:
    """Everything at once, for a terminal of so many columns."""
    result = shown.result
    s0 = _panel("S0  Tokens and storage", _tokens_and_storage(result.users))
    s1 = _panel("S1  Groups: images and videos", _groups(result.groups))
    s2 = _panel("S2  Budgets of this month", _budgets(result.users))
    s3 = _panel("S3  Plan tokens left, of this cycle's allowance", _plans(result.organisations))
    s4 = _panel("S4  Credits", _credits(result.users))
    happened = _panel("What happened", _happened(shown))
    refused = _panel("Refused, as it must be", _refusals(shown.refusals))
    if width < WIDE:
        return Group(s0, s4, s2, s1, s3, refused, happened)
    return Group(_beside(s0, s4), _beside(s2, s1), _beside(s3, happened), refused)


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=cell(title, "bold"), title_align="left", box=ROUNDED, padding=(0, 1))


def _beside(left: RenderableType, right: RenderableType) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(left, right)
    return grid


def _table(*columns: str, right: Iterable[str] = ()) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", expand=True, pad_edge=False)
    for column in columns:
        table.add_column(
            cell(column), justify="right" if column in right else "left", no_wrap=True, overflow="ellipsis"
        )
    return table


def _tokens_and_storage(users: list[UserFigures]) -> Table:
    table = _table("user", "tokens used of", "", "storage used of", right=("tokens used of", "storage used of"))
    for user in users:
        tokens, storage = user.tokens, user.storage
        table.add_row(
            _name(user),
            f"{tokens.used:,} of {tokens.limit:,}",
            _bar(storage),
            f"{storage.used // MB:,} of {bytes_text(storage.limit)}",
        )
    return table


def _credits(users: list[UserFigures]) -> Table:
    table = _table("user", "granted", "charged", "held", "left", right=("granted", "charged", "held", "left"))
    for user in users:
        level = user.credits
        table.add_row(_name(user), *(f"{amount:,}" for amount in (level.limit, level.used, level.held, level.left)))
    return table


def _budgets(users: list[UserFigures]) -> Table:
    table = _table("user", "", "used of", "", right=("used of",))
    for user in users:
        level = user.budget
        used = f"{usd_text(level.used)} of {usd_text(level.limit)}"
        table.add_row(_name(user), _bar(level), used, percent_text(level.used, level.limit))
    return table


def _groups(groups: list[GroupFigures]) -> Table:
    table = _table("group (members)", "", "", "used of", "", right=("used of",))
    for group in groups:
        named = f"{_short(group.org)} {_plain(group.group)} ({group.members})"
        for what, level in (("images", group.image), ("videos", group.video)):
            colour = status(level.used, level.limit).value
            table.add_row(cell(named), what, _bar(level), f"{level.used} of {level.limit}", Text(colour, style=colour))
            named = ""
    return table


def _plans(organisations: list[dict[str, Any]]) -> Table:
    names = [_short(each["id"]) for each in organisations]
    table = _table("", *names, right=names)
    table.add_row("plan", *(cell(each["plan"]) for each in organisations))
    table.add_row("new tokens on", *(_date(each["refresh_date"]) for each in organisations))
    for type_ in dict.fromkeys(type_ for each in organisations for type_ in each["tokens"]):
        units = [each["tokens"].get(type_, {"balance": 0, "allocated": 0}) for each in organisations]
        table.add_row(
            cell(type_.replace("_", " ")), *(f"{unit['balance']:,} of {unit['allocated']:,}" for unit in units)
        )
    return table


def _date(moment: str | None) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d}" if moment else "never"


def _refusals(refusals: list[Refusal]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for refusal in refusals:
        table.add_row(cell(refusal.code, "yellow"), cell(f"{_plain(refusal.user)}: {refusal.sentence}"))
    return table


def _happened(shown: Shown) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right")
    table.add_column()
    for type_, count in sorted(shown.result.events.items(), key=lambda each: -each[1]):
        table.add_row(f"{count:,}", cell(type_.removeprefix("generation-").rpartition(".")[0].replace("-", " ")))
    for reason, count in shown.result.quarantined.items():
        table.add_row(f"{count:,}", cell(f"in quarantine: {reason}"))
    return table


def _name(user: UserFigures) -> Text:
    return cell(f"{_short(user.org)} {_plain(user.user)}")


def _short(org: str) -> str:
    return org.removeprefix("demo-")


def _plain(id_: str) -> str:
    """An id without the run's mark."""
    return id_.partition(".")[0]


def _bar(level: Level) -> ProgressBar:
    colour = status(level.used, level.limit).value
    return ProgressBar(
        total=max(1, level.limit),
        completed=level.used if level.limit else 1,
        width=BAR,
        complete_style=colour,
        finished_style=colour,
    )

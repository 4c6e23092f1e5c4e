"""Try again until it works: the intake never drops a batch because PostgreSQL or Kafka is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from aiokafka.errors import KafkaError

from infra.waits import set_within
from infra.writer.submission import OutcomeUnknown, Overloaded

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
PASSING = (psycopg.OperationalError, psycopg.InterfaceError, KafkaError, OutcomeUnknown, Overloaded, OSError)

Result = TypeVar("Result")


class Stopping(Exception):
    """The role is ending: what is not decided yet stays on the topic and is read again."""


async def until_done(what: str, step: Callable[[], Awaitable[Result]], stop: asyncio.Event) -> Result:
    """Run `step`, which must be safe to repeat, until it returns; pauses grow from 0.1 to 5 s.

    Raises Stopping when `stop` is set before that, and whatever else than a passing fault the step raises.
    """
    pause = FIRST_PAUSE_S
    while not stop.is_set():
        try:
            return await step()
        except PASSING as error:
            log.warning("%s failed and is tried again: %s", what, error or type(error).__name__)
        if not await set_within(stop, pause):
            pause = min(pause * 2, LAST_PAUSE_S)
    raise Stopping

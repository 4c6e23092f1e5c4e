"""Try again until it works: nothing is dropped because PostgreSQL or Kafka is away."""

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


async def until_done(
    what: str,
    step: Callable[[], Awaitable[Result]],
    stop: asyncio.Event,
    passing: tuple[type[Exception], ...] = PASSING,
) -> Result:
    """Run `step`, which must be safe to repeat, until it returns; pauses grow from 0.1 to 5 s.

    Raises Stopping when `stop` is set before that, and whatever else than a passing fault the step raises. With
    Exception among `passing` also what nobody expected is repeated, loudly.
    """
    seconds = FIRST_PAUSE_S
    while not stop.is_set():
        try:
            return await step()
        except Stopping:
            raise
        except PASSING as error:
            log.warning("%s failed and is tried again: %s", what, error or type(error).__name__)
        except passing:
            log.exception("%s failed and is tried again", what)
        await set_within(stop, seconds)
        seconds = min(seconds * 2, LAST_PAUSE_S)
    raise Stopping

"""What the two forms of the client do differently: one has tasks on an event loop, the other has threads."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from threading import Event, Thread, current_thread
from typing import Any

from scrip_client.kafka import NotPublished, Publisher, PublisherThread
from scrip_client.steps import Lost, Record

_log = logging.getLogger(__name__)

JOIN_S = 5.0


class AsyncRuntime:
    """For asyncio. Whatever runs beside the caller is a task that `close` waits for."""

    def __init__(self, publisher: Publisher | None) -> None:
        self._publisher = publisher
        self._tasks: set[asyncio.Task[None]] = set()
        self._beating: set[asyncio.Task[None]] = set()

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def write(self, act: Callable[[], None]) -> None:
        """Do what blocks for a moment."""
        await asyncio.to_thread(act)

    async def publish(self, record: Record) -> Lost | None:
        """Put a message on the usage topic."""
        if self._publisher is None:
            raise LookupError("the client has no way to Kafka")
        try:
            await self._publisher.publish(record)
        except NotPublished as error:
            return Lost(str(error), sent=True)
        return None

    async def finish(self, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something to its end, in the background where the caller is cancelled meanwhile."""
        await asyncio.shield(self._start(act))

    def begin(self, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something that a caller who is being cancelled cannot wait for."""
        self._start(act)

    def beat(self, act: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
        """Do something until the function that is returned is called, or the client is closed."""
        task = self._start(act)
        self._beating.add(task)
        task.add_done_callback(self._beating.discard)
        return task.cancel

    async def close(self) -> None:
        """End heartbeats, wait for the rest, let Kafka go."""
        for beating in self._beating:
            beating.cancel()
        while tasks := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(tasks)
        if self._publisher is not None:
            await self._publisher.close()

    def _start(self, act: Callable[[], Coroutine[Any, Any, None]]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(act())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.info("%s", task.exception())  # whoever waits for it gets it; nobody does once they were cancelled


class Runtime:
    """For programs that block. Heartbeats have threads of their own."""

    def __init__(self, publisher: Publisher | None) -> None:
        self._publisher = PublisherThread(publisher) if publisher is not None else None
        self._beating: set[_Heartbeat] = set()

    def pause(self, seconds: float) -> None:
        """Wait. Raises _Stopped in a heartbeat that is to end."""
        thread = current_thread()
        if not isinstance(thread, _Heartbeat):
            time.sleep(seconds)
        elif thread.stopped.wait(seconds):
            raise _Stopped

    def write(self, act: Callable[[], None]) -> None:
        """See AsyncRuntime."""
        act()

    def publish(self, record: Record) -> Lost | None:
        """See AsyncRuntime."""
        if self._publisher is None:
            raise LookupError("the client has no way to Kafka")
        try:
            self._publisher.publish(record)
        except NotPublished as error:
            return Lost(str(error), sent=True)
        return None

    def finish(self, act: Callable[[], None]) -> None:
        """See AsyncRuntime."""
        act()

    def begin(self, act: Callable[[], None]) -> None:
        """See AsyncRuntime."""
        act()

    def beat(self, act: Callable[[], None]) -> Callable[[], object]:
        """See AsyncRuntime."""
        thread = _Heartbeat(act, self._beating)
        thread.start()
        return thread.stopped.set

    def close(self) -> None:
        """See AsyncRuntime."""
        for thread in list(self._beating):
            thread.stopped.set()
            thread.join(JOIN_S)
        if self._publisher is not None:
            self._publisher.close()


class _Heartbeat(Thread):
    def __init__(self, act: Callable[[], None], beating: "set[_Heartbeat]") -> None:
        super().__init__(name="scrip-heartbeat", daemon=True)
        self.stopped = Event()
        self._act, self._beating = act, beating
        beating.add(self)

    def run(self) -> None:
        try:
            self._act()
        except _Stopped:
            pass
        finally:
            self._beating.discard(self)


class _Stopped(Exception):
    """The generation is being left."""

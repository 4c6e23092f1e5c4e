"""A live stream as a test reads it: message by message, with a deadline."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from tests.waiting import patient

DEADLINE_S = patient(10.0)


class Message(NamedTuple):
    """One message; `lines` are the fields that it came with."""

    id: str
    event: str | None
    data: Any
    lines: list[str]


class Stream:
    """An open stream. Reading waits for at most DEADLINE_S."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.last_id = ""
        self._lines = answer.iter_lines()

    def blocks(self) -> Iterator[list[str]]:
        """What came, up to each empty line."""
        block: list[str] = []
        for line in self._lines:
            if line:
                block.append(line)
            else:
                yield block
                block = []

    def opened(self) -> "Stream":
        """Once the first block is there: what happens from now on is told."""
        first = next(self.blocks())
        assert first[0] == "retry: 2000"
        self.last_id = first[1].removeprefix("id: ")
        return self

    def next(self) -> Message:
        """The next message with data."""
        for block in self.blocks():
            fields = dict(line.split(": ", 1) for line in block if not line.startswith(":"))
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                return Message(fields["id"], fields.get("event"), json.loads(fields["data"]), block)
        raise AssertionError("the stream has ended")

    def take(self, count: int) -> list[Message]:
        """The next messages."""
        return [self.next() for _ in range(count)]


@contextmanager
def listening(client: httpx.Client, headers: dict[str, str] | None = None, **params: Any) -> Iterator[Stream]:
    """A stream that is followed while the block lasts."""
    timeout = httpx.Timeout(DEADLINE_S)
    with client.stream("GET", "/api/v1/stream", params=params, headers=headers, timeout=timeout) as answer:
        assert answer.status_code == 200, answer.read()
        stream = Stream(answer)  # whose end would end the answer
        yield stream.opened()

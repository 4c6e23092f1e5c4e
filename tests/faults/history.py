"""What the clients of a campaign did and were told: written to disk before anything is sent."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

INVOKE, OK, FAIL, INFO = "invoke", "ok", "fail", "info"


@dataclass(frozen=True)
class Operation:
    """One thing that a client wants done exactly once, under `key` for ever.

    `kind` is what it is called in the history, `effect` the stored type of the event that it must leave once.
    """

    kind: str
    effect: str
    org: str
    account: str
    key: str
    path: str  # of the POST, or the CloudEvents type where it goes through Kafka
    body: dict[str, Any]
    amount: int = 0  # what the effect must come to


@dataclass
class Told:
    """What came of an operation: `state` ok or fail, with the answer; info while nothing is definite."""

    operation: Operation
    state: str = INFO
    status: int = 0
    answer: dict[str, Any] = field(default_factory=dict)
    attempts: int = 0


class History:
    """All operations of a campaign, in memory and in a file of JSON lines."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="utf-8")
        self.told: dict[str, Told] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Told]:
        return iter(self.told.values())

    def invoke(self, operation: Operation) -> Told:
        """Note the operation on disk; only then may it be sent."""
        told = self.told[operation.key] = Told(operation)
        self._write({"type": INVOKE, **asdict(operation)})
        self._file.flush()
        os.fsync(self._file.fileno())
        return told

    def note(self, told: Told, state: str, **facts: Any) -> None:
        """Note what an attempt came to."""
        told.state = state
        told.attempts += 1
        self._write({"type": state, "key": told.operation.key, **facts})

    def fault(self, what: str) -> None:
        """Note a fault among the operations."""
        self._write({"type": "fault", "what": what})
        self._file.flush()

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")

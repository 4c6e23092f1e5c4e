"""Rows of one table in memory, and what of them is still to be written."""

from collections.abc import Callable
from datetime import datetime
from operator import add
from typing import Any, TypeVar

from projections.table import SUMMED, Table

Key = tuple[Any, ...]
Row = TypeVar("Row")


class Rows(dict[Key, Row]):
    """Rows by key. `ended` says of a row that it hardly ever changes again, so that it need not be kept in memory."""

    def __init__(self, table: Table[Row], ended: Callable[[Row], bool] = lambda _row: False) -> None:
        super().__init__()
        self.table = table
        self.changed: dict[Key, Row] = {}
        self.new: set[Key] = set()  # of the changed ones, those that were never stored
        self.gone: set[Key] = set()  # to be deleted, before anything is written
        self._ended = ended

    def begin(self, key: Key, row: Row) -> None:
        """A row that was never stored."""
        self[key] = self.changed[key] = row
        self.new.add(key)

    def put(self, key: Key, row: Row) -> None:
        """A row that may be stored already."""
        self[key] = self.changed[key] = row

    def drop(self, key: Key) -> None:
        """A row ends to exist, whether it is in memory or not."""
        self._forget(key)
        if key in self.new:
            self.new.discard(key)
        else:
            self.gone.add(key)

    def drop_all(self, start: Key) -> None:
        """All rows whose keys start like this end to exist. Takes time for every row in memory: for rare events."""
        for key in [key for key in self if key[: len(start)] == start]:
            self._forget(key)
            self.new.discard(key)
        self.gone.add(start)

    def ended(self) -> list[Row]:
        """The changed rows that have ended."""
        return [row for row in self.changed.values() if self._ended(row)]

    def written(self) -> None:
        """Everything that changed is stored; what has ended is let go."""
        for key, row in self.changed.items():
            if self._ended(row):
                self.pop(key, None)
        self.changed.clear()
        self.new.clear()
        self.gone.clear()

    def _forget(self, key: Key) -> None:
        self.pop(key, None)
        self.changed.pop(key, None)


class Log(list[Row]):
    """Rows that are only ever added."""

    def __init__(self, table: Table[Row]) -> None:
        super().__init__()
        self.table = table


class Sums(dict[Key, Any]):
    """Named tuples with a time `at` whose integers, the last columns, are added to those that the table has by then."""

    def __init__(self, table: Table[Any]) -> None:
        super().__init__()
        self.table = table
        self._first = next(place for place, type_ in enumerate(table.types) if type_ in SUMMED)

    def add(self, row: Any) -> None:
        """Add a row's amounts to those of its key."""
        key, first = self.table.key_of(row), self._first
        known = self.get(key)
        self[key] = row if known is None else row._make(row[:first] + tuple(map(add, known[first:], row[first:])))

    def before(self, at: datetime) -> list[Any]:
        """Take out the rows of times that are over."""
        return [self.pop(key) for key in [key for key, row in self.items() if row.at < at]]

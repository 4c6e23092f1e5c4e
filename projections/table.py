"""How rows of a read model get into and out of its table; the statements follow from the row's fields."""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import sql

Cursor = psycopg.Cursor[Any]
Row = TypeVar("Row")


class Table(Generic[Row]):
    """One table: its columns with their types, in the order of the row's fields, and its key (the first columns)."""

    def __init__(self, name: str, row: Callable[..., Row], columns: dict[str, str], key: int) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.types = tuple(columns.values())
        self.key = self.columns[:key]
        self._row = row
        self._values: Callable[[Row], tuple[Any, ...]] = attrgetter(*self.columns)

    def load(self, cursor: Cursor, schema: str, keys: Iterable[tuple[Any, ...]]) -> list[Row]:
        """The rows that exist of those asked for."""
        wanted = [list(column) for column in zip(*keys, strict=True)]
        if not wanted:
            return []
        cursor.execute(
            sql.SQL("select {columns} from unnest({arrays}) as wanted ({key}) join {table} t using ({key})").format(
                columns=self._list(self.columns),
                arrays=self._arrays(len(self.key)),
                key=self._list(self.key),
                table=sql.Identifier(schema, self.name),
            ),
            wanted,
            binary=True,
        )
        return [self._row(*values) for values in cursor.fetchall()]

    def copy(self, cursor: Cursor, schema: str, rows: Iterable[Row], *, fresh: bool = False) -> int:
        """Add new rows, the fast way, and return how many. Raises psycopg.errors.UniqueViolation where one exists.

        `fresh` for a table that the same transaction created: its rows need no vacuum later.
        """
        count = 0
        statement = "copy {table} ({columns}) from stdin (format binary, freeze {fresh})"
        with cursor.copy(
            sql.SQL(statement).format(
                table=sql.Identifier(schema, self.name), columns=self._list(self.columns), fresh=sql.Literal(fresh)
            )
        ) as copy:
            copy.set_types(self.types)
            for values in map(self._values, rows):
                copy.write_row(values)
                count += 1
        return count

    def upsert(self, cursor: Cursor, schema: str, rows: Sequence[Row]) -> None:
        """Write rows whole, whether they exist or not."""
        if rows:
            cursor.execute(
                sql.SQL(
                    "insert into {table} ({columns}) select * from unnest({arrays})"
                    " on conflict ({key}) do update set {set}"
                ).format(
                    table=sql.Identifier(schema, self.name),
                    columns=self._list(self.columns),
                    arrays=self._arrays(len(self.columns)),
                    key=self._list(self.key),
                    set=sql.SQL(", ").join(
                        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
                        for name in self.columns
                        if name not in self.key
                    ),
                ),
                [list(column) for column in zip(*map(self._values, rows), strict=True)],
            )

    def _arrays(self, count: int) -> sql.Composable:
        return sql.SQL(", ").join(sql.SQL("%b::" + type_ + "[]") for type_ in self.types[:count])

    def _list(self, names: Sequence[str]) -> sql.Composable:
        return sql.SQL(", ").join(map(sql.Identifier, names))

"""How rows of a read model get into and out of its table; the statements follow from the row's fields."""

from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter
from typing import Any, Generic, LiteralString, TypeVar

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

Cursor = psycopg.Cursor[Any]
SUMMED = ("int8", "numeric")  # types of columns that `add` adds up
Row = TypeVar("Row")


class Table(Generic[Row]):
    """One table: its columns with their types, in the order of the row's fields, and its key (the first columns).

    A row has plain lists and dicts where a column is `jsonb`.
    """

    def __init__(self, name: str, row: Callable[..., Row], columns: dict[str, str], key: int) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.types = tuple(columns.values())
        self.key = self.columns[:key]
        self._row = row
        self._statements: dict[tuple[str, str], bytes] = {}
        self._json = tuple(place for place, type_ in enumerate(self.types) if type_ == "jsonb")
        self._fields: Callable[[Row], tuple[Any, ...]] = attrgetter(*self.columns)
        self._values = self._with_json if self._json else self._fields
        self.key_of: Callable[[Row], tuple[Any, ...]] = (
            attrgetter(*self.key) if key > 1 else lambda row: (getattr(row, self.key[0]),)
        )

    def load(self, cursor: Cursor, schema: str, keys: Collection[tuple[Any, ...]]) -> list[Row]:
        """The rows that exist of those asked for."""
        if not keys:
            return []
        cursor.execute(
            self._once(("load", schema), self._load), [list(column) for column in zip(*keys, strict=True)], binary=True
        )
        return [self._row(*values) for values in cursor.fetchall()]

    def copy(self, cursor: Cursor, schema: str, rows: Iterable[Row], *, fresh: bool = False) -> int:
        """Add new rows, the fast way, and return how many; only without row-level security.

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

    def insert(self, cursor: Cursor, schema: str, rows: Sequence[Row]) -> None:
        """Add new rows where row-level security is on. Raises psycopg.errors.UniqueViolation where one exists."""
        self._insert(cursor, ("insert", schema), rows, lambda: sql.SQL(""))

    def upsert(self, cursor: Cursor, schema: str, rows: Sequence[Row]) -> None:
        """Write rows whole, whether they exist or not."""
        self._insert(cursor, ("upsert", schema), rows, lambda: self._on_conflict("{0} = excluded.{0}", self.types))

    def add(self, cursor: Cursor, schema: str, rows: Sequence[Row]) -> None:
        """Add the rows' integers to those that are there; what else is beside the key depends on the key alone."""
        self._insert(cursor, ("add", schema), rows, lambda: self._on_conflict("{0} = t.{0} + excluded.{0}", SUMMED))

    def delete(self, cursor: Cursor, schema: str, keys: Collection[tuple[Any, ...]]) -> None:
        """Take rows out: each key, all of one length, is a row's whole key or the first columns of many."""
        if keys:
            names = self.key[: len(next(iter(keys)))]
            cursor.execute(
                sql.SQL("delete from {table} t using unnest({arrays}) as gone ({key}) where {same}").format(
                    table=sql.Identifier(schema, self.name),
                    arrays=self._arrays(len(names)),
                    key=self._list(names),
                    same=sql.SQL(" and ").join(sql.SQL("t.{0} = gone.{0}").format(sql.Identifier(n)) for n in names),
                ),
                [list(column) for column in zip(*keys, strict=True)],
            )

    def _insert(
        self, cursor: Cursor, what: tuple[str, str], rows: Sequence[Row], on_conflict: Callable[[], sql.Composable]
    ) -> None:
        if rows:
            statement = self._once(what, lambda schema: self._insertion(schema, on_conflict()))
            cursor.execute(statement, [list(column) for column in zip(*map(self._values, rows), strict=True)])

    def _once(self, what: tuple[str, str], compose: Callable[[str], sql.Composable]) -> bytes:
        """A statement of a schema, composed at its first use: that takes longer than to run one."""
        statement = self._statements.get(what)
        if statement is None:
            statement = self._statements[what] = compose(what[1]).as_bytes()
        return statement

    def _load(self, schema: str) -> sql.Composable:
        return sql.SQL("select {columns} from unnest({arrays}) as wanted ({key}) join {table} t using ({key})").format(
            columns=self._list(self.columns),
            arrays=self._arrays(len(self.key)),
            key=self._list(self.key),
            table=sql.Identifier(schema, self.name),
        )

    def _insertion(self, schema: str, on_conflict: sql.Composable) -> sql.Composable:
        return sql.SQL("insert into {table} as t ({columns}) select * from unnest({arrays}) {on_conflict}").format(
            table=sql.Identifier(schema, self.name),
            columns=self._list(self.columns),
            arrays=self._arrays(len(self.columns)),
            on_conflict=on_conflict,
        )

    def _on_conflict(self, change: LiteralString, types: Sequence[str]) -> sql.Composable:
        """Change the columns of these types that are not of the key."""
        changes = [
            sql.SQL(change).format(sql.Identifier(name))
            for name, type_ in zip(self.columns, self.types, strict=True)
            if name not in self.key and type_ in types
        ]
        return sql.SQL("on conflict ({key}) do update set {set}").format(
            key=self._list(self.key), set=sql.SQL(", ").join(changes)
        )

    def _with_json(self, row: Row) -> tuple[Any, ...]:
        values = list(self._fields(row))
        for place in self._json:
            if values[place] is not None:
                values[place] = Jsonb(values[place])
        return tuple(values)

    def _arrays(self, count: int) -> sql.Composable:
        return sql.SQL(", ").join(sql.SQL("%b::" + type_ + "[]") for type_ in self.types[:count])

    def _list(self, names: Sequence[str]) -> sql.Composable:
        return sql.SQL(", ").join(map(sql.Identifier, names))

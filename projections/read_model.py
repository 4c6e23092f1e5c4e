"""A read model, declared once: its table, its keys, its view and what people are told of it follow from here."""

import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from inspect import cleandoc
from itertools import chain
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from psycopg import sql

from projections.table import Table

Row = TypeVar("Row")
_SENTENCES = re.compile(r"(?<=\.)\s+")

# Columns whose type is not the usual one of the Python type; for mypy they are int and str.
Int2 = Annotated[int, "int2"]
Int4 = Annotated[int, "int4"]
Unbounded = Annotated[int, "numeric"]  # sums over many accounts: no 64 bits bound them
Words = Annotated[str, "text"]  # text for people, sorted as the database sorts text; all other text is sorted by bytes

_USUAL: dict[Any, tuple[str, str]] = {  # PostgreSQL's type, and the same where a column is defined
    str: ("text", 'text collate "C"'),
    int: ("int8", "int8"),
    bool: ("bool", "bool"),
    datetime: ("timestamptz", "timestamptz"),
    dict: ("jsonb", "jsonb"),
    list: ("jsonb", "jsonb"),
}


class Index(NamedTuple):
    """An index: its columns as SQL has them, and for a partial one which rows it is of."""

    columns: str
    where: str = ""


class Due(NamedTuple):
    """Rows on which time alone ends or begins something: the sweeper looks for them, by a partial index."""

    at: str  # the column with the moment
    where: str  # which rows still wait for it: the condition of the index
    only: str = ""  # a further condition, which the index does not have


class View(NamedTuple):
    """A further view of a read model, for people who ask in SQL. `query` has `{table}` in place of the table."""

    name: str
    query: str


class Column(NamedTuple):
    """One column: its type in statements, and its definition in the table."""

    name: str
    type: str
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadModel(Generic[Row]):
    """One read model. It is listed in projections/__init__.py, and nowhere else.

    Its columns are the fields of `row` (a dataclass or named tuple) in their order. The row's docstring is the comment
    of the view; a sentence that names a column in backticks is that column's comment, too.
    Raises TypeError where the table does not follow from it.
    """

    name: str  # of the table, and of the view in schema `read`
    row: type[Row]
    key: tuple[str, ...]  # the first columns
    stream: str = ""  # SQL: the stream of a row, where it has `due`
    due: tuple[Due, ...] = ()
    indexes: tuple[Index, ...] = ()
    checks: tuple[str, ...] = ()  # SQL
    shows: Mapping[str, str] = field(default_factory=dict)  # what the view computes: column -> SQL
    views: tuple[View, ...] = ()
    fillfactor: int | None = None  # percent; None for rows that are never changed
    columns: tuple[Column, ...] = field(init=False)
    table: Table[Row] = field(init=False)
    about: str = field(init=False)  # the row's docstring in one line

    def __post_init__(self) -> None:
        columns = tuple(_columns(self.row))
        types_ = {column.name: column.type for column in columns}
        if tuple(types_)[: len(self.key)] != self.key:
            raise TypeError(f"{self.name}: the key must be the row's first fields")
        said = self.row.__doc__ or ""
        if not said or said.startswith(f"{self.row.__name__}("):  # what Python writes where there is none
            raise TypeError(f"{self.name}: the row has no docstring, which would be the comment of the view")
        if self.due and not self.stream:
            raise TypeError(f"{self.name}: nothing says on which stream time passes")
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "table", Table(self.name, self.row, types_, len(self.key)))
        object.__setattr__(self, "about", " ".join(cleandoc(said).split()))

    def create(self, schema: str) -> sql.Composed:
        """The statement that creates the table, without keys and indexes."""
        lines = [*(column.definition for column in self.columns), *(f"check ({check})" for check in self.checks)]
        options = f" with (fillfactor = {self.fillfactor})" if self.fillfactor else ""
        return self._of(schema, f"create table {{}} ({', '.join(lines)}){options}")

    def create_keys(self, schema: str) -> Iterator[sql.Composed]:
        """The statements that add the table's key and indexes."""
        yield self._of(schema, f"alter table {{}} add primary key ({', '.join(self.key)})")
        for columns, where in chain(self.indexes, dict.fromkeys((due.at, due.where) for due in self.due)):
            yield self._of(schema, f"create index on {{}} ({columns})" + (f" where {where}" if where else ""))

    def queries(self, schema: str) -> dict[str, sql.Composed]:
        """The query of each of its views by the view's name."""
        shown = ", ".join(["*", *(f"{expression} as {name}" for name, expression in self.shows.items())])
        further = {view.name: self._of(schema, view.query.replace("{table}", "{}")) for view in self.views}
        return {self.name: self._of(schema, f"select {shown} from {{}}"), **further}

    def about_column(self, name: str) -> str:
        """The sentences of the row's docstring that name a column in backticks."""
        return " ".join(sentence for sentence in _SENTENCES.split(self.about) if f"`{name}`" in sentence)

    def _of(self, schema: str, statement: str) -> sql.Composed:
        return sql.SQL(statement).format(sql.Identifier(schema, self.name))


def _columns(row: type[Any]) -> Iterable[Column]:
    for name, hint in get_type_hints(row, include_extras=True).items():
        kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        of_value, *others = (kind for kind in kinds if kind is not types.NoneType)
        if others:
            raise TypeError(f"{row.__name__}.{name}: no column is made of the type {hint}")
        type_, definition = _type(of_value, f"{row.__name__}.{name}")
        yield Column(name, type_, f'"{name}" {definition}{" not null" if len(kinds) == 1 else ""}')


def _type(hint: Any, place: str) -> tuple[str, str]:
    if get_origin(hint) is Annotated:
        return (hint.__metadata__[0],) * 2
    usual = _USUAL.get(get_origin(hint) or hint)
    if usual is None:
        raise TypeError(f"{place}: no column is made of the type {hint}")
    return usual

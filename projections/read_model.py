"""A read model, declared once: its table, its view and its fold; and the rows of read models in memory."""

import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from inspect import cleandoc
from itertools import chain
from operator import add
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from psycopg import sql

from projections.facts import CannotApply, Fact, follows
from projections.table import SUMMED, Table

Row = TypeVar("Row")
Key = tuple[Any, ...]
Needs = Callable[["Needed", Fact], None]
Fold = Callable[["State", Fact], None]
EVERY = "*"  # in `events` of a read model: whatever the kind of stream
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


class Keep(Enum):
    """What becomes of a read model's rows."""

    ROWS = "rows"  # they change, and are written whole
    LOG = "log"  # they are only added
    SUMS = "sums"  # named tuples with a time `at`; integers beside the key are added to those of the row with that key


class Index(NamedTuple):
    """An index: its columns as SQL has them, and for a partial one which rows it is of."""

    columns: str
    where: str = ""


class Due(NamedTuple):
    """Rows on which time alone ends or begins something: the sweeper looks for them, by a partial index."""

    at: str  # the column with the moment
    where: str  # which rows still wait for it: the condition of the index
    only: str = ""  # a further condition, which the index does not have

    @property
    def waits(self) -> str:
        return f"{self.where} and {self.only}" if self.only else self.where


class View(NamedTuple):
    """A further view of a read model, for people who ask in SQL."""

    name: str
    query: str  # with `{table}` in place of the table
    about: str  # how it differs from the read model's own


class Column(NamedTuple):
    """One column: its type in statements, and its definition in the table."""

    name: str
    type: str
    definition: str
    empty: bool  # whether it may be null


def never(_state: "State", _row: Any) -> bool:
    """Keeps every row in memory."""
    return False


def always(_state: "State", _row: Any) -> bool:
    """Forgets every row as soon as it is written."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadModel(Generic[Row]):
    """One read model. It is listed in projections/__init__.py, and nowhere else.

    Its columns are the fields of `row` (a dataclass or named tuple) in their order. The row's docstring is the comment
    of the view; a sentence that names a column in backticks is that column's comment, too.

    `fold` applies an event that is among `events` to the rows. It may read rows of other models, as the models before
    it in the list have left them. `needs` names the stored rows that the fold reads, where no other model names them
    for that event. A fold takes a row that must exist from `state.known`, before it changes anything.
    Raises TypeError where the table does not follow from the declaration.
    """

    name: str  # of the table, and of the view in schema `read`
    row: type[Row]
    key: tuple[str, ...]  # the first columns
    events: Mapping[str, tuple[type, ...]]  # kind of stream (what its name begins with), or EVERY -> classes of events
    fold: Fold
    needs: Needs | None = None
    keep: Keep = Keep.ROWS
    ended: Callable[["State", Row], bool] = never  # such a row hardly ever changes again: it is not kept in memory
    deletes: bool = False  # rows are deleted: then a rebuild keeps all in memory until its end
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


class Rows(dict[Key, Row]):
    """Rows by key, and which of them changed since they were last written."""

    def __init__(self, model: ReadModel[Row], *, rebuilding: bool) -> None:
        super().__init__()
        self.table = model.table
        self.changed: dict[Key, Row] = {}
        self.new: set[Key] = set()  # of the changed ones, those that were never stored
        self.gone: set[Key] = set()  # to be deleted, before anything is written
        self._ended = never if rebuilding and model.deletes else model.ended

    def begin(self, key: Key, row: Row) -> None:
        """A row that was never stored."""
        self[key] = self.changed[key] = row
        self.new.add(key)

    def put(self, key: Key, row: Row) -> None:
        """A row that may be stored already."""
        self[key] = self.changed[key] = row

    def drop(self, key: Key) -> None:
        """Delete a row, whether it is in memory or not."""
        self._forget(key)
        if key in self.new:
            self.new.discard(key)
        else:
            self.gone.add(key)

    def drop_all(self, start: Key) -> None:
        """Delete all rows whose keys start like this. It walks every row in memory: only for rare events."""
        for key in [key for key in self if key[: len(start)] == start]:
            self._forget(key)
            self.new.discard(key)
        self.gone.add(start)

    def written(self, state: "State") -> list[Row]:
        """Note that all changes are stored, or about to be. Forgets the rows that have ended, and returns them."""
        ended = [(key, row) for key, row in self.changed.items() if self._ended(state, row)]
        for key, _ in ended:
            self.pop(key, None)
        self.changed.clear()
        self.new.clear()
        self.gone.clear()
        return [row for _, row in ended]

    def _forget(self, key: Key) -> None:
        self.pop(key, None)
        self.changed.pop(key, None)


class Sums(dict[Key, Any]):
    """Rows whose integers are added to those that the table has by then."""

    def __init__(self, model: ReadModel[Any]) -> None:
        super().__init__()
        self.table = model.table
        self._first = next(place for place, type_ in enumerate(self.table.types) if type_ in SUMMED)

    def add(self, row: Any) -> None:
        key, first = self.table.key_of(row), self._first
        known = self.get(key)
        self[key] = row if known is None else row._make(row[:first] + tuple(map(add, known[first:], row[first:])))

    def before(self, at: datetime) -> list[Any]:
        """Remove and return the rows of times before `at`."""
        return [self.pop(key) for key in [key for key, row in self.items() if row.at < at]]


class StreamRow(Protocol):
    """A row that shows one stream: the version, position and time of the stream's last event."""

    version: int
    position: int
    updated_at: datetime


OfStream = TypeVar("OfStream", bound=StreamRow)


class Later(Exception):
    """The row that an event is about is written already: a rebuild folds it when rows can be found by their keys."""


class State:
    """Rows of one partition in memory.

    `rebuilding`: rows that have ended are written at once and never read back, so that events about them are kept in
    `later`, each with the read model that misses a row, to be folded when everything else is there.
    """

    def __init__(self, models: Sequence[ReadModel[Any]], *, rebuilding: bool = False) -> None:
        self.models = tuple(models)
        self.later: list[tuple[ReadModel[Any], Fact]] = []
        self._rebuilding = rebuilding
        self.all_rows = {m: Rows(m, rebuilding=rebuilding) for m in self.models if m.keep is Keep.ROWS}
        self.all_logs: dict[ReadModel[Any], list[Any]] = {m: [] for m in self.models if m.keep is Keep.LOG}
        self.all_sums = {m: Sums(m) for m in self.models if m.keep is Keep.SUMS}

    def rows(self, model: ReadModel[Row]) -> Rows[Row]:
        """Of a model that keeps ROWS."""
        return self.all_rows[model]

    def next_row(
        self, model: ReadModel[OfStream], key: Key, fact: Fact, opened: Callable[[Fact], OfStream]
    ) -> OfStream:
        """The row of the event's stream, as changed by this event; before the first one it is `opened`.

        Raises CannotApply where `fact` is not the stream's next event.
        """
        rows = self.all_rows[model]
        row: OfStream = rows.get(key) or opened(fact)
        follows(fact, row.version)
        row.version, row.position, row.updated_at = fact.version, fact.position, fact.time
        rows.put(key, row)
        return row

    def log(self, model: ReadModel[Row]) -> list[Row]:
        """Of a model that keeps a LOG: what has been added."""
        return self.all_logs[model]

    def sums(self, model: ReadModel[Any]) -> Sums:
        """Of a model that keeps SUMS: what is to be added."""
        return self.all_sums[model]

    def known(self, model: ReadModel[Row], key: Key, fact: Fact, what: str) -> Row:
        """The row that `fact` is about. Raises CannotApply where it is not in memory, or Later in a rebuild."""
        row: Row | None = self.all_rows[model].get(key)
        if row is not None:
            return row
        if self._rebuilding:
            raise Later
        raise CannotApply(fact.partition, fact.position, f"the {what} is unknown")

    def written(self) -> None:
        """Note that all changes are stored: rows that have ended are forgotten."""
        for rows in self.all_rows.values():
            rows.written(self)
        for log in self.all_logs.values():
            log.clear()
        for sums in self.all_sums.values():
            sums.clear()

    def __len__(self) -> int:
        return sum(map(len, self.all_rows.values()))


class Needed:
    """The keys of stored rows that events need and that are not in memory, by read model."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.keys: dict[ReadModel[Any], set[Key]] = {model: set() for model in state.all_rows}

    def row(self, model: ReadModel[Any], key: Key) -> None:
        """Need a row, if it exists."""
        if key not in self.state.all_rows[model]:
            self.keys[model].add(key)


def _columns(row: type[Any]) -> Iterable[Column]:
    for name, hint in get_type_hints(row, include_extras=True).items():
        kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        of_value, *others = (kind for kind in kinds if kind is not types.NoneType)
        if others:
            raise TypeError(f"{row.__name__}.{name}: no column is made of the type {hint}")
        type_, definition = _type(of_value, f"{row.__name__}.{name}")
        empty = len(kinds) > 1
        yield Column(name, type_, f'"{name}" {definition}{"" if empty else " not null"}', empty)


def _type(hint: Any, place: str) -> tuple[str, str]:
    if get_origin(hint) is Annotated:
        return (hint.__metadata__[0],) * 2
    usual = _USUAL.get(get_origin(hint) or hint)
    if usual is None:
        raise TypeError(f"{place}: no column is made of the type {hint}")
    return usual

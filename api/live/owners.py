"""Whose generation or purchase an event is about, where only the stream's first event names the user."""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from api.database import Database, Row
from domain.generations.state import PREFIX as GENERATION
from domain.plans.state import PURCHASE_PREFIX as PURCHASE

MOST_KNOWN = 20_000

_FIRST = """
    select e.org, e.stream, e.data from unnest(%s::text[], %s::text[]) as wanted (org, stream)
    cross join lateral (
        select org, stream, data from events
        where org = wanted.org and stream = wanted.stream and version = 1
    ) e"""


class Owners:
    """Users by stream, looked up once each and kept for a while."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    async def of(self, rows: Iterable[Row]) -> dict[tuple[str, str], str | None]:
        """The owner by organisation and stream, for those rows that have one. Raises psycopg.Error."""
        wanted = {(row["org"], row["stream"]) for row in rows if row["stream"].startswith((GENERATION, PURCHASE))}
        missing = wanted - self._known.keys()
        if missing:
            orgs, streams = zip(*missing, strict=True)
            for row in await self._database.rows_of_all(_FIRST, (list(orgs), list(streams))):
                first = msgspec.json.decode(row["data"], type=_Stored)
                self._known[row["org"], row["stream"]] = first.data.user
        found = {key: self._known.get(key) for key in wanted}
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return found


class _Named(msgspec.Struct):
    user: str | None = None


class _Stored(msgspec.Struct):
    data: _Named

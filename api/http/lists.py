"""What reads share: pages, the wait for a position, periods of time, files of comma-separated values, reports."""

import csv
import io
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import psycopg
from fastapi import Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.http.caller import Call
from api.http.database import Row
from api.http.endpoint import Endpoint, MinPosition, Parameters, endpoint
from api.http.fields import QueryDay
from api.http.policy import May
from api.http.problems import Problem, invalid, not_yet_visible
from api.http.services import Services
from domain.credits.address import parse_address
from infra.position import format_position, parse_position
from projections.usage import QUARTER, quarter


def page_of(row: type[BaseModel]) -> type[BaseModel]:
    """A page of a list."""
    name = f"{row.__name__.removesuffix('Row')}Page"
    fields: dict[str, Any] = {"items": list[row], "next_cursor": str | None}  # type: ignore[valid-type]
    return type(
        name,
        (BaseModel,),
        {"__annotations__": fields, "__doc__": "A page of a list.", "__module__": __name__, "next_cursor": None},
    )


MAX_LIMIT = 200
LAST = 2**62  # above every position
_SIGNATURE = 8

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description=f"Items in a page, at most {MAX_LIMIT}.")]
CursorText = Annotated[str | None, Query(max_length=2_000, description="`next_cursor` of the page before.")]
IdPrefix = Annotated[str, Query(max_length=255, pattern=r"^[A-Za-z0-9._:@|+=~-]*$")]


class Cursors:
    """Makes and reads the cursors of one list of one organisation. `secret`: the deployment's."""

    def __init__(self, secret: bytes, *list_: str) -> None:
        self._secret = secret
        self._list = "\n".join(list_).encode()

    def encode(self, values: Sequence[Any]) -> str:
        """The cursor after an item with these sort values."""
        body = msgspec.json.encode(values)
        return _text(self._sign(body) + body)

    def decode(self, cursor: str, *kinds: type) -> list[Any]:
        """The sort values. Raises Problem (422) for anything that `encode` of this list did not make."""
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            signature, body = raw[:_SIGNATURE], raw[_SIGNATURE:]
            # Python's base64 reads over foreign characters and loose bits: those were not in the cursor that was given.
            if not compare_digest(signature, self._sign(body)) or _text(raw) != cursor:
                raise ValueError
            values: list[Any] = msgspec.json.decode(body, type=tuple[kinds])  # type: ignore[valid-type]
        except (ValueError, NotBase64, UnicodeEncodeError, msgspec.DecodeError):
            raise Problem(422, "invalid_cursor", "The cursor is not one that this list gave.", field="cursor") from None
        return values

    def _sign(self, body: bytes) -> bytes:
        return hmac_digest(self._secret, b"cursor\n%b\n%b" % (self._list, body), "sha256")[:_SIGNATURE]


class Page(Parameters):
    """Which page of a list is asked for."""

    def __init__(self, limit: Limit = 50, cursor: CursorText = None, min_position: MinPosition = None) -> None:
        self.limit, self._cursor, self._min_position = limit, cursor, min_position

    async def wait(self, call: Call) -> None:
        """Until the read models hold `min_position`. Raises Problem (503) after 2 s."""
        await seen(call, self._min_position)

    async def of(self, call: Call, *list_: str) -> "Pages":
        """`cursors` after the wait."""
        await self.wait(call)
        return self.cursors(call, *list_)

    def cursors(self, call: Call, *list_: str) -> "Pages":
        """The pages of a list of the caller's organisation. `list_`: its name, and what limits it."""
        return Pages(call, Cursors(call.services.fingerprint_secret, call.org, *list_), self.limit, self._cursor)


class Pages:
    """One list from a cursor on. `more`: how many items to read, one more than are shown."""

    def __init__(self, call: Call, cursors: Cursors, limit: int, cursor: str | None) -> None:
        self.limit, self.more = limit, limit + 1
        self._call, self._cursors, self._cursor = call, cursors, cursor
        self.encode = cursors.encode

    def given(self, *kinds: type) -> list[Any] | None:
        """The sort values after which the page begins; None for the first page. Raises Problem (422)."""
        return self._cursors.decode(self._cursor, *kinds) if self._cursor else None

    def after(self, *first: Any) -> list[Any]:
        """The same; `first` for the first page."""
        return self.given(*map(type, first)) or [*first]

    async def rows(self, query: str, first: Mapping[str, Any], /, **wanted: Any) -> list[Row]:
        """The organisation's rows for the page. `first`: the query's sort values for the first page, by their names."""
        after = dict(zip(first, self.after(*first.values()), strict=True))
        return await self._call.rows(query, **after, **wanted, limit=self.more)

    def page(self, rows: list[Row], key: Sequence[str], show: Callable[[Row], Any] = lambda row: row) -> dict[str, Any]:
        """A page of `rows`, of which one more was read to see whether there are more. `key`: the columns sorted by."""
        shown = rows[: self.limit]
        # Before `show`, which may change the row.
        next_cursor = self.encode([shown[-1][name] for name in key]) if len(rows) > self.limit else None
        return {"items": [show(row) for row in shown], "next_cursor": next_cursor}


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


class Json(Response):
    """An answer encoded by msgspec."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return msgspec.json.encode(content)


async def seen(call: Call, min_position: str | None) -> None:
    """Wait until the read models hold `min_position`. Raises Problem (503) after 2 s."""
    if min_position is None:
        return
    try:
        reached = await call.services.visible.reached(call.partition, parse_position(min_position))
    except psycopg.errors.UndefinedTable:
        reached = False
    if not reached:
        raise not_yet_visible()


async def open_text(call: Call, address: str, rows: Iterable[Row]) -> None:
    """Replace `sealed` in each row by `reason` and `metadata`: none where there is no text or its key is erased."""
    rows = list(rows)
    owner = parse_address(address).owner
    if any(row["sealed"] for row in rows):
        await call.services.threads.run(_open_all, call.services, call.org, owner, rows)
    else:
        _open_all(call.services, call.org, owner, rows)


def _open_all(services: Services, org: str, owner: str, rows: list[Row]) -> None:
    for row in rows:
        sealed = row.pop("sealed")
        text = (services.sealer.open(org, owner, sealed) if sealed else None) or {}
        row["reason"], row["metadata"] = text.get("reason"), text.get("metadata")


def positioned(row: Row) -> Row:
    """A row with its position as text."""
    return row | {"position": format_position(row["position"])}


def renamed(row: Row, id_name: str) -> Row:
    """The same, with its id under the name that commands give it."""
    return positioned({id_name: row.pop("id"), **row})


def between(from_: Any, to: Any) -> None:
    """Raises Problem (422) for a period that ends before it begins."""
    if from_ is not None and to is not None and to < from_:
        raise invalid("to", "must not be earlier than from")


MAX_DAYS = 800
MAX_HOUR_DAYS = 31  # of buckets of an hour
Bucket = Literal["day", "week", "month"]
FineBucket = Literal["hour", "day", "week", "month"]

ZONE = """
    select coalesce((select time_zone from read.organisations where org = %(org)s), 'UTC') as zone,
        scrip_now() as now"""


class Window(NamedTuple):
    """From `start` until just before `end`, whole quarters of an hour; days are those of `zone`."""

    start: datetime
    end: datetime
    zone: ZoneInfo

    @property
    def first(self) -> date:
        """The day in which it starts."""
        return self.start.astimezone(self.zone).date()

    @property
    def last(self) -> date:
        """The day after the one in which it ends."""
        before = max(self.start, self.end - timedelta(microseconds=1))
        return before.astimezone(self.zone).date() + timedelta(days=1)

    def day(self, at: datetime) -> date:
        """The day of the organisation that a moment is in."""
        return at.astimezone(self.zone).date()

    def buckets(self, bucket: FineBucket) -> list[tuple[date | datetime, datetime]]:
        """Name and start of each part, in order; the first may start before its name's day or hour is whole.

        A part is named after its first day, an hour after its start with the zone's offset. Days of a change of clocks
        have 23 or 25 hours, and an hour that comes twice is two.
        """
        if bucket == "hour":
            return self._hours()
        named: dict[date, datetime] = {}
        for number in range((self.last - self.first).days):
            day = self.first + timedelta(days=number)
            named.setdefault(first_day(day, bucket), max(self.start, midnight(day, self.zone)))
        return [*named.items()]

    def _hours(self) -> list[tuple[date | datetime, datetime]]:
        hours: list[tuple[date | datetime, datetime]] = []
        at = self.start
        while at < self.end:
            local = at.astimezone(self.zone)
            hours.append((local.replace(minute=0), at))
            at += timedelta(hours=1) - timedelta(minutes=local.minute)
        return hours

    def shown(self) -> dict[str, object]:
        """What an answer says of it: its days, its instants, and whose days they are."""
        return {
            "from": self.first,
            "to": self.last,
            "starts_at": self.start,
            "ends_at": self.end,
            "time_zone": self.zone.key,
        }


async def window(
    call: Call,
    from_: date | None,
    to: date | None,
    *,
    days: int,
    most: int = MAX_DAYS,
) -> Window:
    """What a report is asked for; `days` before `to` by default, and until the end of the organisation's day.

    A day stands for its first moment in the organisation's time zone. Raises Problem (422) for a time that is not at a
    quarter of an hour, because use is kept by those, for an end before the start, and for more than `most` days.
    """
    (row,) = await call.rows(ZONE)
    zone = ZoneInfo(row["zone"])
    end = _instant("to", to, zone) if to else midnight(row["now"].astimezone(zone).date() + timedelta(days=1), zone)
    start = _instant("from", from_, zone) if from_ else _earlier(end, days, zone)
    between(start, end)
    if end - start > timedelta(days=most, hours=1):  # an hour more, where clocks were put back
        raise invalid("from", f"must not be more than {most} days before to", limit=most)
    return Window(start, end, zone)


async def moments(call: Call, from_: date | None, to: date | None) -> tuple[datetime | None, datetime | None]:
    """The instants of a list's `from` and `to`; a day stands for its first moment in the organisation's time zone.

    Raises Problem (422) for an end before the start.
    """
    zone = ZoneInfo("UTC")
    if any(when is not None and not isinstance(when, datetime) for when in (from_, to)):
        (row,) = await call.rows(ZONE)
        zone = ZoneInfo(row["zone"])
    found = tuple(None if when is None else _moment(when, zone) for when in (from_, to))
    between(*found)
    return found[0], found[1]


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day (UTC); where daylight saving skips midnight, the moment after the gap."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def first_day(day: date, bucket: str) -> date:
    """The first day of a day's week (a Monday) or month; of `day` itself."""
    if bucket == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if bucket == "month" else day


def _moment(when: date, zone: ZoneInfo) -> datetime:
    return when.astimezone(UTC) if isinstance(when, datetime) else midnight(when, zone)


def _instant(name: str, when: date, zone: ZoneInfo) -> datetime:
    moment = _moment(when, zone)
    if moment != quarter(moment):
        nearest = quarter(moment + QUARTER / 2).isoformat().replace("+00:00", "Z")
        day = moment.astimezone(zone).date()
        raise invalid(name, f"must be at a quarter of an hour, for example {nearest}, or a day such as {day}")
    return moment


def _earlier(end: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The same time of the day so many days before."""
    return (end.astimezone(zone) - timedelta(days=days)).astimezone(UTC)


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
MARK = b"\xef\xbb\xbf"
Bom = Annotated[bool, Query(description="csv: begin with a byte order mark, by which Excel knows UTF-8.")]
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")  # an amount below zero is no formula


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[str | int | None]], *, bom: bool = False) -> bytes:
    """A header and one line for each row; none is an empty cell. Text that looks like a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(map(_cell, columns))
    writer.writerows(map(_cell, row) for row in rows)
    return (MARK if bom else b"") + out.getvalue().encode()


def csv_response(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[str | int | None]], *, bom: bool
) -> Response:
    """The table as an answer that a browser saves under `name`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(csv_bytes(columns, rows, bom=bom), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: str | int | None) -> str | int:
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return "" if value is None else value


FIRST_AT = """
    with recursive halved (low, high) as (
        select 0::bigint, coalesce((select max(position) from events where partition = %(partition)s), 0) + 1
        union all
        select case when e.time < %(time)s then middle else low end,
            case when e.time < %(time)s then high else middle end
        from (select low, high, (low + high) / 2 as middle from halved where high - low > 1) h
        join lateral (select time from events where partition = %(partition)s and position = h.middle) e on true
    )
    select min(high) as position from halved"""


async def first_at(call: Call, time: datetime) -> int:
    """The position of the partition's first event at or after `time`; one past the last where there is none."""
    rows = await call.services.rows_of_all(FIRST_AT, {"partition": call.partition, "time": time})
    return int(rows[0]["position"]) if rows else 1


async def bounds(call: Call, from_: datetime | None, to: datetime | None) -> tuple[int, int]:
    """The positions, first included and last not, of the events from `from_` (included) to `to` (not included)."""
    first = await first_at(call, from_) if from_ is not None else 1
    last = await first_at(call, to) if to is not None else LAST
    return first, last


DEFAULT_DAYS = 30
MOST = 10_000  # lines of a file


class Asked(NamedTuple):
    """From `start` to before `end`, the things whose id comes after `after`, at most `limit`."""

    start: datetime
    end: datetime
    after: str | None
    limit: int


class Report(NamedTuple):
    """`subjects`: what it has a line for each of; `key`: the column of a row's id; `line`: a shown row as cells."""

    subjects: str
    key: str
    columns: Sequence[str]
    read: Callable[[Call, Asked], Awaitable[list[Row]]]
    shown: Callable[[Row, Window], dict[str, Any]]
    line: Callable[[dict[str, Any]], Sequence[str | int | None]]


class ReportPage(BaseModel):
    """What every report answers beside its `items`."""

    from_: date = Field(alias="from")
    to: date
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    next_cursor: str | None = None


def report_endpoint(report: Report, *, name: str, summary: str, answers: type[BaseModel]) -> Endpoint:
    """`GET /api/v1/analytics/{subjects}`."""

    async def read_report(
        call: Call,
        page: Page,
        from_: Annotated[
            QueryDay | None, Query(alias="from", description=f"{DEFAULT_DAYS} days before `to` by default.")
        ] = None,
        to: QueryDay | None = None,
        format: Annotated[
            Literal["json", "csv"], Query(description=f"csv: the first {MOST} {report.subjects}, without pages.")
        ] = "json",
        bom: Bom = False,
    ) -> Response:
        await page.wait(call)
        during = await window(call, from_, to, days=DEFAULT_DAYS)
        asked = Asked(during.start, during.end, None, MOST)

        def shown(row: Row) -> dict[str, Any]:
            return report.shown(row, during)

        if format == "csv":
            rows = map(shown, await report.read(call, asked))
            file, lines = f"{report.subjects}-usage.csv", map(report.line, rows)  # made in the thread, one by one
            return await call.services.threads.run(csv_response, file, report.columns, lines, bom=bom)
        pages = page.cursors(call, name, during.start.isoformat(), during.end.isoformat())
        after = (pages.given(str) or [None])[0]
        found = await report.read(call, asked._replace(after=after, limit=pages.more))
        return Json(during.shown() | pages.page(found, [report.key], shown))

    declare = endpoint(f"GET /api/v1/analytics/{report.subjects}", May.READ_EVENTS, answers, name=name, summary=summary)
    return declare(read_report)

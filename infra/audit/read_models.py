"""The log, folded by the reference, beside the read models: every row of every table, in both directions."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from infra.audit.expected import Expected, Row, Stored
from infra.audit.reference import Account, Broken, Json, moment
from infra.audit.report import Differs, Section
from infra.audit.rules import apply, tag_of
from infra.audit.store import Connection, rows
from infra.audit.tables import BALANCES, DEBITS, GRANTS, PRICES, RESERVATIONS, TRANSACTIONS, Shown

ACCOUNT = "account/"
PRICE_BOOK = ("platform", "prices")

_EVENTS = """
    select e.partition, e.position, e.org, e.stream, e.version, e.type, e.tag, e.actor, e.time, e.data
    from events e join unnest(%s::smallint[], %s::bigint[]) as cut (partition, last)
        on e.partition = cut.partition and e.position <= cut.last
    order by e.org, e.stream, e.version"""


class ReadModels:
    """The read models of one moment; what the log says is taken off them until nothing is left."""

    def __init__(self, connection: Connection, section: Section) -> None:
        self._section = section
        self.balances = Shown(connection, BALANCES)
        self.transactions = Shown(connection, TRANSACTIONS)
        self.reservations = Shown(connection, RESERVATIONS)
        self.grants = Shown(connection, GRANTS)
        self.debits = Shown(connection, DEBITS)
        self.prices = Shown(connection, PRICES)

    def must_show(self, table: Shown, expected: Iterable[Row]) -> None:
        """The next rows of a table must be these."""
        for row in expected:
            table.must_show(row)
            self._section.count(table.name)

    def must_end(self) -> None:
        """Nothing else may be shown."""
        for table in (self.balances, self.transactions, self.reservations, self.grants, self.debits, self.prices):
            table.must_end()


def check_ledger(
    connection: Connection,
    cut: Mapping[int, int],
    section: Section,
    shown: ReadModels | None = None,
    step: Callable[[int], None] = lambda _done: None,
) -> None:
    """Fold the log up to `cut`, stream by stream, check every rule after every event, and compare with what is `shown`.

    The connection must be in a repeatable-read transaction, `cut` be the read models' checkpoints where they are
    compared. Raises Differs at the first event that breaks a rule or row that is not as it must be.
    """
    transfers = _Transfers(cut)
    events = rows(connection, _EVENTS, (list(cut), list(cut.values())))
    for (org, stream), group in groupby(_read(events, section, step), key=lambda event: (event.org, event.stream)):
        if stream.startswith(ACCOUNT):
            _account(org, stream.removeprefix(ACCOUNT), group, transfers, shown)
            section.count("accounts")
        elif (org, stream) == PRICE_BOOK and shown is not None:
            shown.must_show(shown.prices, map(_price_version, group))
        else:
            for _event in group:
                section.count("events of other streams")
    transfers.must_match()
    if shown is not None:
        shown.must_end()


def _read(events: Iterable[tuple[Any, ...]], section: Section, step: Callable[[int], None]) -> Iterator[Stored]:
    """Events with their bytes read as JSON; a stream's versions have no gap and its rows say what the bytes say."""
    before: Stored | None = None
    for count, row in enumerate(events, 1):
        where = f"partition {row[0]} position {row[1]}"
        event = Stored._make((*row[:9], _data(where, row[7], row[9])))
        if before is None or (before.org, before.stream) != (event.org, event.stream):
            version, position = 1, 0
        else:
            version, position = before.version + 1, before.position
        if event.version != version or event.position <= position:
            raise Differs(f"version of {where} in stream {event.stream}", version, event.version)
        tag = _tag(where, event)
        if event.tag != tag:
            raise Differs(f"tag of {where}", tag, event.tag)
        section.count("events")
        if not count % 1000:
            step(1000)
        yield event
        before = event


def _data(where: str, actor: str, stored: bytes) -> Json:
    try:
        said = json.loads(stored)
        data, who = said["data"], said["actor"]
    except (ValueError, KeyError, TypeError) as error:
        raise Differs(f"bytes of {where}", "JSON with actor, cause and data", error) from error
    if who != actor:
        raise Differs(f"actor of {where}", who, actor)
    if not isinstance(data, dict):
        raise Differs(f"bytes of {where}", "an object under data", type(data).__name__)
    return data


def _tag(where: str, event: Stored) -> str | None:
    try:
        return tag_of(event.type, event.data)
    except (KeyError, TypeError, IndexError) as error:
        raise Differs(f"bytes of {where}", f"the fields of {event.type}", f"{type(error).__name__}: {error}") from error


def _account(
    org: str, address: str, events: Iterator[Stored], transfers: "_Transfers", shown: ReadModels | None
) -> None:
    account, expected = Account(), Expected(org, address)
    last = None
    for last in events:
        try:
            apply(account, last.type, last.data, last.time)
            expected.apply(last, account.available)
        except (Broken, KeyError, TypeError, ValueError, IndexError) as error:
            where = f"{last.type} at partition {last.partition} position {last.position}, account {address} of {org}"
            raise Differs(where, "an event that the rules allow", f"{type(error).__name__}: {error}") from error
        transfers.see(last, address)
        if shown is not None:
            shown.must_show(shown.transactions, expected.transactions)
        expected.transactions.clear()
    if last is not None and shown is not None:
        shown.must_show(shown.balances, [expected.balance(account, last)])
        shown.must_show(shown.reservations, expected.reservations.values())
        shown.must_show(shown.grants, (expected.grants[name] for name in sorted(expected.grants)))
        shown.must_show(shown.debits, expected.debits.values())


class _Transfers:
    """Both sides of every transfer; a cut may fall between them, which are neighbours in the log."""

    def __init__(self, cut: Mapping[int, int]) -> None:
        self._cut = cut
        self._open: dict[tuple[str, str], tuple[Stored, tuple[Any, ...]]] = {}

    def see(self, event: Stored, address: str) -> None:
        """Take one event. Raises Differs where the sides of a transfer do not fit."""
        if not event.type.startswith("credits-transferred-"):
            return
        data = event.data
        out = event.type.startswith("credits-transferred-out")
        side = (address, data["to"], data["amount"]) if out else (data["sender"], address, data["amount"])
        key = (event.org, data["transfer_id"])
        other = self._open.pop(key, None)
        if other is None:
            self._open[key] = (event, side)
        elif other[1] != side or other[0].type == event.type:
            where = f"transfer {data['transfer_id']} at partition {event.partition} position {event.position}"
            raise Differs(where, f"from, to and amount {other[1]}", side)

    def must_match(self) -> None:
        """No transfer may have one side only."""
        for event, _ in self._open.values():
            if event.position != self._cut[event.partition]:
                where = f"transfer {event.data['transfer_id']} at partition {event.partition} position {event.position}"
                raise Differs(where, "both sides", "one side")


def _price_version(event: Stored) -> Row:
    data = event.data
    empty: tuple[object, ...] = (None, {}, [])
    return {
        "version": data["version"],
        "effective_at": moment(data["effective_at"]),
        "entries": [{name: value for name, value in entry.items() if value not in empty} for entry in data["entries"]],
        "published_at": event.time,
        "position": event.position,
    }

"""Every stream of one organisation, folded by the reference and compared with the rows that show it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, LiteralString, Protocol

from infra.audit.expected import Expected, Row, Stored
from infra.audit.generations import Generation
from infra.audit.reference import Account, Broken, moment
from infra.audit.report import Differs, Section
from infra.audit.rules import apply
from infra.audit.together import Together
from infra.audit.use import Budget, Counted, Group, Storage

PLATFORM = "platform"
# What all use of an organisation adds up to; one that used nothing has no row.
USED: tuple[LiteralString, ...] = ("credits", "tokens", "plan_tokens", "other", "usd")


class Shows(Protocol):
    """The read models that are compared."""

    def must_show(self, name: str, expected: Iterable[Row]) -> None: ...


class Streams:
    """The streams of one organisation, to be folded in the order of their names; `together` sees every event."""

    def __init__(self, section: Section, shown: Shows | None, transfers: "Transfers", together: Together) -> None:
        self._section = section
        self._shown = shown
        self._transfers = transfers
        self.together = together
        self._used = dict.fromkeys(USED, 0)  # debited less refunded, and the money that budgets count
        self._plan_limits: list[tuple[int, int | None]] = []  # bytes for each user, from a position on

    def fold(self, org: str, stream: str, events: Iterator[Stored]) -> None:
        """Fold one stream. Raises Differs."""
        start, _, name = stream.partition("/")
        known: dict[str, Callable[[str, str, Iterator[Stored]], None]] = {
            "account": self._account,
            "budget": self._budget,
            "counted": self._counted,
            "generation": self._generation,
            "group": self._group,
            "organisation": self._organisation,
            "settings": self._settings,
            "storage": self._storage,
        }
        if start in known:
            known[start](org, name, events)
            self._section.count(start if start == "settings" else f"{start}s")
        elif (org, stream) == (PLATFORM, "prices"):
            self._show("prices", map(_price_version, events))
        else:
            for _event in events:
                self._section.count("events of other streams")

    def end(self, org: str) -> None:
        """After the organisation's last stream: all use must be in reports. Raises Differs."""
        if any(self._used.values()):
            self._show("usage", [{"org": org, **self._used}])

    def _account(self, org: str, address: str, events: Iterator[Stored]) -> None:
        account, expected = Account(), Expected(org, address)

        def take(event: Stored) -> None:
            apply(account, event.type, event.data, event.time)
            expected.apply(event, account.available)
            self._transfers.see(event, address)
            self._show("transactions", expected.transactions)
            expected.transactions.clear()

        last = self._each(events, take, f"account {address}")
        self._used[expected.column] += account.totals["debited"] - account.totals["refunded"]
        self._show("balances", [expected.balance(account, last)])
        self._show("reservations", expected.reservations.values())
        self._show("grants", (expected.grants[name] for name in sorted(expected.grants)))
        self._show("debits", expected.debits.values())

    def _generation(self, _org: str, id_: str, events: Iterator[Stored]) -> None:
        generation = Generation()
        self._each(events, generation.apply, f"generation {id_}")
        self._used["usd"] += generation.row["charged_usd"] - generation.row["refunded_usd"]
        self._show("generations", [generation.row])

    def _storage(self, _org: str, user: str, events: Iterator[Stored]) -> None:
        storage = Storage()
        last = self._each(
            events, lambda event: storage.apply(event, self._plan_limit(event.position)), f"storage of {user}"
        )
        self._show("storages", [storage.row(last)])
        self._show("contents", storage.contents.values())
        self._holds(storage.use.holds)

    def _group(self, _org: str, id_: str, events: Iterator[Stored]) -> None:
        group = Group()
        last = self._each(events, group.apply, f"group {id_}")
        self._show("groups", [group.row(last)])
        self._show("members", (group.members[user] for user in sorted(group.members)))
        self._holds(group.use.holds)

    def _budget(self, _org: str, user: str, events: Iterator[Stored]) -> None:
        budget = Budget()

        def take(event: Stored) -> None:
            budget.apply(event)
            if event.type.startswith("cost-recorded") and event.data["success"]:
                self._used["usd"] += event.data["usd"]

        last = self._each(events, take, f"budget of {user}")
        self._show("budgets", [budget.row(last)])
        self._holds(budget.use.holds)

    def _counted(self, _org: str, resource: str, events: Iterator[Stored]) -> None:
        counted = Counted()
        self._each(events, counted.apply, f"what is counted of {resource}")
        self._holds(counted.use.holds)

    def _organisation(self, _org: str, _name: str, events: Iterator[Stored]) -> None:
        def take(event: Stored) -> None:
            if event.type.startswith("plan-"):
                self._plan_limits.append((event.position, event.data.get("storage_limit")))

        self._each(events, take, "settings")

    def _settings(self, org: str, whose: str, events: Iterator[Stored]) -> None:
        owner, _, id_ = whose.partition("/")
        row: Row = {"org": org, "owner": owner, "id": id_}

        def take(event: Stored) -> None:
            row.update(settings=event.data["settings"], version=event.version, position=event.position)
            row["updated_at"] = event.time

        self._each(events, take, f"settings of {whose}")
        self._show("settings", [row])

    def _plan_limit(self, position: int) -> int | None:
        """What the plan allowed each user at a position; none where that was the deployment's to say."""
        return next((limit for since, limit in reversed(self._plan_limits) if since < position), None)

    def _holds(self, holds: Mapping[str, Row]) -> None:
        self._show("use_holds", (holds[name] for name in sorted(holds)))

    def _show(self, name: str, expected: Iterable[Row]) -> None:
        if self._shown is not None:
            self._shown.must_show(name, expected)

    def _each(self, events: Iterator[Stored], take: Callable[[Stored], Any], whose: str) -> Stored:
        """Take all events of a stream, of which there is at least one, and return the last."""
        for event in events:
            try:
                self.together.see(event)
                take(event)
            except (Broken, KeyError, TypeError, ValueError, IndexError) as error:
                where = f"{event.type} at partition {event.partition} position {event.position}, {whose} of {event.org}"
                raise Differs(where, "an event that the rules allow", f"{type(error).__name__}: {error}") from error
        return event


class Transfers:
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
        "entries": [
            {name: value for name, value in entry.items() if value not in empty and value is not False}
            for entry in data["entries"]
        ],
        "published_at": event.time,
        "position": event.position,
    }

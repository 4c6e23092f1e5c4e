"""The API over a log in memory: what `scrip_client.testing` runs, in a process of its own, in place of a server.

The deciders, the HTTP application and the folds of the read models are the real ones. In place of PostgreSQL there are
a `MemoryLedger`, the read models' rows in memory, and a Python function for each query of the routes that are served.
All other routes answer 501.

`main` takes lines of JSON on standard input and answers each with one on standard output, see `Worlds.answer`. A world
is an installation of its own. Not for production: nothing is stored, and there are no rate limits.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import httpx
import msgspec
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from api.accounts import commands, reads
from api.app import ENDPOINTS, create_app
from api.generations import reads as generations
from api.generations import storage
from api.http.database import Database, Row, Visible
from api.http.endpoint import Routes, send_problem
from api.http.limits import Begins, StreamsRoom
from api.http.lists import FIRST_AT, ZONE
from api.http.problems import Problem
from api.http.services import NOW, KnownOwners, Services
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.log.memory import MemoryLog
from infra.security.principal import Role
from infra.security.sealing import Sealer
from infra.security.tokens import Tokens
from infra.settings import Settings
from infra.writer.memory import MemoryLedger
from projections import READ_MODELS
from projections.contents import CONTENTS
from projections.debits import DEBITS
from projections.facts import fact_of
from projections.fold import fold
from projections.generations import GENERATIONS
from projections.grants import GRANTS
from projections.read_model import ReadModel, State
from projections.reservations import RESERVATIONS
from projections.transactions import TRANSACTIONS

ORG = "acme"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN_S = 10 * 365 * 86_400  # the world's clock stands still, that of tokens does not
SERVED = frozenset(
    """
    grant_credits void_grant reserve_credits capture_reservation release_reservation extend_reservation debit_credits
    refund_debit transfer_credits read_balance list_transactions configure_account check_generation create_generation
    start_generation cancel_generation extend_generation confirm_generation fail_generation refund_generation
    read_generation list_generations explain_generation quote_price publish_prices set_storage_limit list_contents
    delete_content read_me issue_session_token list_grants list_reservations read_reservation read_debit read_prices
    read_my_storage set_budget read_budget set_my_budget read_my_budget create_group edit_group
    add_group_members remove_group_members
    """.split()  # noqa: SIM905 - thirty lines of a list literal would be no easier to read
)
_SELECTED = re.compile(r"select(.*?)\bfrom\b", re.DOTALL)  # of a query that selects nothing but columns

Query = Callable[["World", Mapping[str, Any]], Iterable[Row]]


class World:
    """One installation in memory, with the organisation ORG and a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = BEGINNING
        self.log = MemoryLog(LedgerMapper.of(SCRIP), lambda: self.now)
        self.ledger = MemoryLedger(self.log, SCRIP)
        self.owners = KnownOwners()
        self._rows = State(READ_MODELS)
        self._folded = 0

    def state(self) -> State:
        """The read models, up to date with the log."""
        for event in self.log.partition(0).select_notifications(self._folded + 1, self.log.head(0)):
            fold(self._rows, [fact_of(event, self.log.mapper.decode)])
            self._folded = event.position
        return self._rows

    def rows(self, model: ReadModel[Any], wanted: Mapping[str, Any], /, **columns: str) -> list[Row]:
        """Rows of the organisation; `columns`: those whose column has the value that is `wanted` under a name."""
        state = self.state()
        found: Iterable[Any] = state.log(model) if model is TRANSACTIONS else state.rows(model).values()
        names = [column.name for column in model.columns]
        each = ({name: getattr(row, name) for name in names} for row in found if row.org == wanted["org"])
        return [row for row in each if all(row[column] == wanted[name] for column, name in columns.items())]


class _Rows(Database):
    """Answers the queries of the routes that are served, see `_QUERIES`."""

    world: World

    async def rows(self, query: str, parameters: Mapping[str, Any]) -> list[Row]:
        return self._found(query, parameters)

    async def rows_of_all(self, query: str, parameters: Any = ()) -> list[Row]:
        return self._found(query, parameters)

    def log(self, partitions: int) -> Any:
        del partitions
        return self.world.log

    def _found(self, query: str, parameters: Any) -> list[Row]:
        asked = _QUERIES.get(query)
        if asked is None:
            raise not_served()
        return list(asked(self.world, parameters))


def _generations(world: World, wanted: Mapping[str, Any]) -> list[Row]:
    return [_with_held(world, row) for row in world.rows(GENERATIONS, wanted, **_given(wanted))]


def _given(wanted: Mapping[str, Any]) -> dict[str, str]:
    filters = {"user_id": "user", "status": "status", "model": "model", "outcome": "outcome", "id": "id"}
    return {column: name for column, name in filters.items() if wanted.get(name) is not None}


def _with_held(world: World, row: Row) -> Row:
    held: dict[str, int] = {}
    for each in world.rows(RESERVATIONS, row, id="id"):
        if each["generation"]:
            unit = "plan_tokens" if ":tokens." in each["address"] else each["address"].rpartition(":")[2]
            held[unit] = held.get(unit, 0) + each["amount"]
    return row | {"held": held or None}


def _list_of_generations(world: World, wanted: Mapping[str, Any]) -> list[Row]:
    before = min(wanted["before"], wanted["last"])
    q = (wanted["q"] or "").lower()
    found = [
        row
        for row in _generations(world, wanted)
        if wanted["first"] <= row["created_position"] < before
        and (row["id"].startswith(wanted["q"] or "") or q in (row["model"] or "").lower())
    ]
    return sorted(found, key=lambda row: -row["created_position"])[: wanted["limit"]]


def _children(world: World, wanted: Mapping[str, Any]) -> list[Row]:
    found = [_with_held(world, row) for row in world.rows(GENERATIONS, wanted, parent_id="id")]
    return sorted(found, key=lambda row: int(row["created_position"]))[: generations.MAX_CHILDREN]


def _kept(world: World, wanted: Mapping[str, Any], /, **columns: str) -> list[Row]:
    return [row for row in world.rows(CONTENTS, wanted, **columns) if row["deleted_at"] is None]


def _by_size(world: World, wanted: Mapping[str, Any]) -> list[Row]:
    after = (-wanted["key"], wanted["id"])
    found = [row for row in _kept(world, wanted, user_id="user") if (-row["bytes"], row["id"]) > after]
    return sorted(found, key=lambda row: (-row["bytes"], row["id"]))[: wanted["limit"]]


def _by_age(world: World, wanted: Mapping[str, Any]) -> list[Row]:
    after = (wanted["key"], wanted["id"])
    found = [row for row in _kept(world, wanted, user_id="user") if _age(row) > after]
    return sorted(found, key=_age)[: wanted["limit"]]


def _age(row: Row) -> tuple[int, str]:
    return row["created_position"], row["id"]


def _movements(world: World, wanted: Mapping[str, Any]) -> list[Row]:
    of_type = {"type": "type"} if wanted["type"] is not None else {}
    found = [
        row
        for row in world.rows(TRANSACTIONS, wanted, address="address", **of_type)
        if (row["position"], row["n"]) < (wanted["position"], wanted["n"])
        and wanted["first"] <= row["position"] < wanted["last"]
    ]
    found.sort(key=lambda row: (-row["position"], -row["n"]))
    return _only(reads.PAGE_OF_MOVEMENTS, found[: wanted["limit"]])


def _grants(world: World, wanted: Mapping[str, Any]) -> list[Row]:
    found = [row for row in world.rows(GRANTS, wanted, address="address") if row["id"] > wanted["after"]]
    return _only(reads.GRANTS, sorted(found, key=lambda row: str(row["id"]))[: wanted["limit"]])


def _holds(world: World, wanted: Mapping[str, Any]) -> list[Row]:
    of_status = {"status": "status"} if wanted["status"] is not None else {}
    found = [
        row
        for row in world.rows(RESERVATIONS, wanted, address="address", **of_status)
        if row["created_position"] < wanted["after"]
    ]
    return _only(reads.HOLDS, sorted(found, key=lambda row: -row["created_position"])[: wanted["limit"]])


def _one(query: str, model: ReadModel[Any]) -> Query:
    return lambda world, wanted: _only(query, world.rows(model, wanted, address="address", id="id"))


def _only(query: str, rows: Iterable[Row]) -> list[Row]:
    """Rows with what the query selects of them."""
    selected = _SELECTED.search(query)
    names = re.findall(r"\w+", selected[1]) if selected else []
    return [{name: row[name] for name in names} for row in rows]


def _first_at(world: World, wanted: Mapping[str, Any]) -> list[Row]:
    events = world.log.partition(wanted["partition"]).select_notifications(1, world.log.head(0))
    later = (event.position for event in events if event.time >= wanted["time"])
    return [{"position": next(later, world.log.head(0) + 1)}]


_QUERIES: dict[str, Query] = {
    NOW: lambda world, _: [{"now": world.now}],
    ZONE: lambda world, _: [{"zone": "UTC", "now": world.now}],
    FIRST_AT: _first_at,
    generations.LIST: _list_of_generations,
    generations.ONE: _generations,
    generations.CHILDREN: _children,
    storage.OF_ONE: lambda world, wanted: sorted(_kept(world, wanted, generation_id="id"), key=_age),
    storage.BY_SIZE: _by_size,
    storage.BY_AGE: _by_age,
    reads.PAGE_OF_MOVEMENTS: _movements,
    reads.GRANTS: _grants,
    reads.HOLDS: _holds,
    reads.HOLD: _one(reads.HOLD, RESERVATIONS),
    reads.DEBIT: _one(reads.DEBIT, DEBITS),
    commands.GRANT_TERMS: _one(commands.GRANT_TERMS, GRANTS),
}


class _Plain(Sealer):
    """Personal text as it is: in memory there is nothing to erase."""

    def seal(self, org: str, subject: str, fields: Mapping[str, Any]) -> str | None:
        del org, subject
        present = {name: value for name, value in fields.items() if value is not None}
        return msgspec.json.encode(present).decode() if present else None

    def knows(self, org: str, subject: str) -> bool:
        return bool(org and subject)

    def open(self, org: str, subject: str, sealed: str | None) -> dict[str, Any] | None:
        del org, subject
        return None if sealed is None else msgspec.json.decode(sealed)


class _Room(StreamsRoom):
    async def take(self, org: str, begins: Begins) -> None:
        """There is always room."""


class _AtOnce(Visible):
    """The read models are up to date whenever they are looked at."""

    world: World

    async def reached(self, partition: int, position: int) -> bool:
        return position <= self.world.log.head(partition)


class Worlds:
    """All worlds, behind one application: making that takes half a second."""

    def __init__(self) -> None:
        nowhere = SecretStr("postgresql://nobody@127.0.0.1:1/none")  # the pools are never opened
        self._settings = Settings(
            writer_url=nowhere,
            reader_url=nowhere,
            auditor_url=nowhere,
            jwt_secret=SecretStr("worlds in memory have no secrets"),
            fingerprint_secret=SecretStr("worlds in memory have no secrets"),
            rate_limit=0,
            free_limit=0,
            free_limit_users=0,
            free_limit_programs=0,
            failed_logins=0,
        )
        self._worlds = {0: World()}
        app = create_app(self._settings, self._worlds[0].ledger)
        routes = Routes(ENDPOINTS)

        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            one, _ = routes.find(scope["method"], scope["path"])
            if one is not None and one.name not in SERVED:
                await send_problem(send, not_served())
            else:
                await app(scope, receive, send)

        self._services: Services = app.state.services
        self._database = _Rows(self._settings)
        self._visible = _AtOnce(self._database.reads_all)
        self._services.database, self._services.visible = self._database, self._visible
        self._services.sealer = _Plain(self._database.text)
        self._services.room = _Room(self._database.reads_all, 1)
        transport = httpx.ASGITransport(served, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://scrip")

    async def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a line: a request, or what a test does to a world. Raises KeyError, ValueError.

        `over`: worlds that are no longer used.
        """
        match asked:
            case {"world": int(number), "do": "new", "over": list(over)}:
                for each in over:
                    self._worlds.pop(each, None)
                self._worlds[number] = World()
            case {"world": int(number), "do": "advance", "seconds": int() | float() as seconds}:
                world = self._worlds[number]
                world.now += timedelta(seconds=seconds)
                return {"now": world.now.isoformat()}
            case {"do": "token", "role": str(role), "sub": str(sub)}:
                return {"token": Tokens(self._settings).issue(ORG, sub, Role(role), TOKEN_S)[0]}
            case {"world": int(number), "method": str(method), "path": str(path)}:
                return await self._request(self._worlds[number], method, path, asked)
            case _:
                raise ValueError(f"nobody knows what to do with {sorted(asked)}")
        return {}

    async def _request(self, world: World, method: str, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """One request. One at a time, so that all services can be those of its world."""
        self._services.ledger, self._services.owners = world.ledger, world.owners
        self._database.world = self._visible.world = world
        answer = await self._client.request(
            method, path, headers=asked["headers"], content=str(asked["body"]).encode("latin-1")
        )
        headers = [(name, value) for name, value in answer.headers.items() if not name.startswith("content-")]
        return {"status": answer.status_code, "headers": headers, "body": answer.content.decode("latin-1")}


def not_served() -> Problem:
    """For what only a server with PostgreSQL can do."""
    return Problem(501, "not_in_the_fake", "The server in memory does not know this call.")


async def serve(lines: TextIO, answers: TextIO) -> None:
    """Answer every line, until there are no more."""
    worlds = Worlds()
    while line := await asyncio.to_thread(lines.readline):
        try:
            answer = await worlds.answer(msgspec.json.decode(line))
        except Exception as error:  # noqa: BLE001 - it is answered to the caller
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(msgspec.json.encode(answer).decode() + "\n")
        answers.flush()


def main() -> None:
    """Serve on standard input and output; whatever else is printed goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it, and who lets go of it then
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asyncio.run(serve(sys.stdin, answers))


if __name__ == "__main__":
    main()

"""The store of console sessions: bounded, encrypted, each version of the credentials replaced by one process."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from infra.security import console_sessions
from infra.security.console_sessions import ConsoleSessions
from infra.turns import CALLER, STRANGERS, Caller
from tests.conftest import Database

LATER = 4_102_444_800  # in 2100
Work = Callable[[ConsoleSessions], Coroutine[Any, Any, None]]


def with_sessions(database: Database, work: Work, key: str = "one", **bounds: int) -> None:
    async def run() -> None:
        options: dict[str, Any] = {"kwargs": {"autocommit": True}, "open": False}
        async with AsyncConnectionPool(database.writer_uri, min_size=1, max_size=4, **options) as pool:
            await work(ConsoleSessions(pool, key, idle_s=600, max_s=3_600, **bounds))

    asyncio.run(run())


@pytest.fixture(autouse=True)
def empty(module_database: Database) -> None:
    sql(module_database, "delete from console_sessions")


def sql(database: Database, statement: str) -> None:
    with psycopg.connect(database.writer_uri, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type, unused-ignore]


async def begin(sessions: ConsoleSessions, id_: str, sub: str = "ann", org: str = "acme") -> None:
    await sessions.begin(id_, org=org, sub=sub, credentials={"token": id_}, token_ends_at=LATER, refresh_at=LATER)


async def ended(sessions: ConsoleSessions, id_: str) -> str | None:
    """Empty: it lives; None: it is unknown."""
    found = await sessions.find(id_)
    assert found is None or bool(found.credentials) == (not found.ended)
    return found.ended if found else None


def test_of_too_many_sessions_of_one_person_the_oldest_ends(module_database: Database) -> None:
    async def work(sessions: ConsoleSessions) -> None:
        await begin(sessions, "another's", sub="bob")
        await begin(sessions, "elsewhere", org="globex")
        for number in range(4):
            await begin(sessions, f"s{number}")
        assert [await ended(sessions, f"s{number}") for number in range(4)] == ["elsewhere", "", "", ""]
        assert [await ended(sessions, other) for other in ("another's", "elsewhere")] == ["", ""]

    with_sessions(module_database, work, per_subject=3)


def test_the_table_never_holds_more_than_the_total(module_database: Database) -> None:
    async def work(sessions: ConsoleSessions) -> None:
        for number in range(6):
            await begin(sessions, f"s{number}", sub=f"u{number}")
        assert [await ended(sessions, f"s{number}") for number in range(6)] == [None, None, "", "", "", ""]

    with_sessions(module_database, work, total=4)


def test_a_new_session_wipes_the_tokens_of_those_that_are_over_and_drops_them_a_day_later(
    module_database: Database,
) -> None:
    async def work(sessions: ConsoleSessions) -> None:
        await begin(sessions, "old")
        sql(module_database, "update console_sessions set ends_at = clock_timestamp() - interval '1 hour'")
        await begin(sessions, "new")
        assert await ended(sessions, "old") == "idle"
        with psycopg.connect(module_database.writer_uri) as connection:
            (kept,) = connection.execute("select count(credentials) from console_sessions").fetchone() or (0,)
        assert kept == 1
        sql(module_database, "update console_sessions set ends_at = ends_at - interval '1 day'")
        await begin(sessions, "newest")
        assert await ended(sessions, "old") is None

    with_sessions(module_database, work)


def test_another_secret_opens_nothing(module_database: Database) -> None:
    async def work(sessions: ConsoleSessions) -> None:
        await begin(sessions, "s")
        assert await ended(sessions, "s") == ""

    async def with_another(sessions: ConsoleSessions) -> None:
        assert await sessions.find("s") is None

    with_sessions(module_database, work)
    with_sessions(module_database, with_another, key="two")


def test_sealed_tokens_open_in_their_own_row_only(module_database: Database) -> None:
    async def work(sessions: ConsoleSessions) -> None:
        await begin(sessions, "ann's")
        await begin(sessions, "bob's", sub="bob")
        sql(
            module_database,
            "update console_sessions set credentials ="
            " (select credentials from console_sessions where sub = 'ann') where sub = 'bob'",
        )
        assert await sessions.find("bob's") is None

    with_sessions(module_database, work)


def test_one_of_many_claims_a_refresh_and_an_ended_session_is_not_renewed(module_database: Database) -> None:
    async def work(sessions: ConsoleSessions) -> None:
        await begin(sessions, "s")
        claims = await asyncio.gather(*(sessions.claim_refresh("s", 1) for _ in range(10)))
        assert claims.count(True) == 1
        new: dict[str, Any] = {"credentials": {"token": "new"}, "token_ends_at": LATER, "refresh_at": LATER}
        assert await sessions.renew("s", 1, **new)
        assert not await sessions.renew("s", 1, **new)
        assert not await sessions.claim_refresh("s", 1)
        assert await sessions.claim_refresh("s", 2)
        await sessions.postpone_refresh("s", 2, 5)
        assert await sessions.claim_refresh("s", 2)
        await sessions.end("s", "refused")
        assert not await sessions.renew("s", 2, **new)
        assert await ended(sessions, "s") == "refused"
        await begin(sessions, "t")
        await sessions.end("t")
        assert await ended(sessions, "t") is None

    with_sessions(module_database, work)


def test_a_database_that_does_not_answer_is_a_connection_error() -> None:
    async def run() -> None:
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool("", open=False)
        with pytest.raises(ConnectionError):
            await ConsoleSessions(pool, "one", idle_s=600, max_s=3_600).find("s")

    asyncio.run(run())


def test_known_sessions_do_not_queue_with_invented_ones(
    module_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever invents sessions waits among strangers; who was found once has their own turns from then on."""
    stranger = (STRANGERS, "127.0.0.9")

    async def work(sessions: ConsoleSessions) -> None:
        turns: list[Caller] = []
        connection = sessions._pool.connection

        def seen(*given: Any, **named: Any) -> Any:
            turns.append(CALLER.get())
            return connection(*given, **named)

        monkeypatch.setattr(sessions._pool, "connection", seen)
        await begin(sessions, "s0")
        turns.clear()
        for id_ in ("s0", "s0", "invented", "invented"):
            CALLER.set(stranger)
            await sessions.find(id_)
        assert turns == [stranger, ("acme", "ann"), stranger, stranger]
        monkeypatch.setattr(console_sessions, "KNOWN", 1)
        await begin(sessions, "s1", sub="bob")
        await sessions.find("s1")
        assert list(sessions._callers.values()) == [("acme", "bob")]

    with_sessions(module_database, work)

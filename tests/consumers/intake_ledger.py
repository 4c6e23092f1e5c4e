"""An intake on a real ledger, with the records for `scrip.quarantine` caught in a list."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from consumers.cloud_event import Unacceptable
from consumers.intake.batch import Authenticate, Intake
from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.credits.commands import Grant, Reserve
from domain.registry import SCRIP
from infra.ids import record_id
from infra.quarantine import Parked
from infra.security.sealing import Sealer
from infra.writer.ledger import Ledger
from infra.writer.reader import Reader
from infra.writer.submission import Outcome, Submission
from infra.writer.writer import Writer
from tests.conftest import Database


class Bench:
    """What a test needs beside the intake: accounts with credits, holds, and a look at what came of it."""

    def __init__(self, intake: Intake, ledger: Ledger, pool: "AsyncConnectionPool[Any]", sealer: Sealer) -> None:
        self.intake, self.ledger, self.pool, self.sealer = intake, ledger, pool, sealer
        self.published: list[Parked] = []

    async def submit(self, command: Any, org: str = "acme") -> Outcome:
        """Run a command that is accepted."""
        outcome = await self.ledger.execute(Submission(org=org, command=command, actor="admin:t", caller="test"))
        assert outcome.refusal is None, outcome
        return outcome

    async def grant(self, amount: int, user: str = "u_1", org: str = "acme") -> None:
        """Give credits."""
        await self.submit(
            Grant(address=f"user:{user}:credits", grant_id=record_id(), amount=amount, source="gift"), org
        )

    async def reserve(self, reservation_id: str, amount: int, user: str = "u_1", ttl_s: int = 900) -> None:
        """Hold credits under an id of our own."""
        address = f"user:{user}:credits"
        await self.submit(
            Reserve(address=address, reservation_id=reservation_id, amount=amount, own_id=True, ttl_s=ttl_s)
        )

    async def account(self, user: str = "u_1", org: str = "acme") -> Account:
        """The account as it is now."""
        stream = stream_of(f"user:{user}:credits")
        state: Account = (await self.ledger.current(org, [stream])).states[stream]
        return state

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Rows of a query."""
        async with self.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query, arguments)
            rows: list[dict[str, Any]] = await cursor.fetchall()
            return rows

    async def waiting(self) -> dict[str, str]:
        """Reasons of the open rows in quarantine, by event id."""
        rows = await self.rows("select event_id, reason from quarantine where resolved_at is null")
        return {row["event_id"]: row["reason"] for row in rows}


async def _nobody(_credential: str | None, _org: str) -> str:
    raise Unacceptable("unauthenticated", "no credential is known here")


@asynccontextmanager
async def bench(database: Database, authenticate: Authenticate | None = None) -> AsyncIterator[Bench]:
    """A started intake and ledger on a database. Without `authenticate` the broker is trusted."""
    with (
        Writer(database.writer_uri, SCRIP) as writer,
        ConnectionPool(database.writer_uri, min_size=1, max_size=2) as keys,
    ):
        async with AsyncConnectionPool(
            database.writer_uri, min_size=1, max_size=2, open=False, kwargs={"autocommit": True}
        ) as pool:
            reader = Reader(database.writer_uri, SCRIP)
            await reader.start()
            ledger, sealer = Ledger(writer, reader=reader), Sealer(keys)
            found: Bench

            async def publish(rows: Sequence[Parked]) -> None:
                found.published += rows

            intake = Intake(
                ledger,
                pool,
                sealer,
                publish,
                authenticate=authenticate or _nobody,
                trusted=authenticate is None,
                stop=asyncio.Event(),
            )
            found = Bench(intake, ledger, pool, sealer)
            try:
                yield found
            finally:
                await reader.stop()

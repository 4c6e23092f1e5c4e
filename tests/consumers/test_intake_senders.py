"""Who may write usage events, where the broker alone is not trusted to know."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg

from consumers.cloud_event import Unacceptable
from consumers.intake.opening import opened_intake
from infra.quarantine import Parked
from infra.security.principal import Role
from infra.security.tokens import Tokens
from infra.settings import Settings
from infra.writer.ledger import Ledger
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.consumers.intake_ledger import bench
from tests.consumers.usage_records import metered, structured


def test_only_a_known_sender_is_heard(database: Database) -> None:
    async def check(credential: str | None, org: str) -> str:
        if credential != "good":
            raise Unacceptable("unauthenticated", "the header scripauth holds no valid token or key")
        if org != "acme":
            raise Unacceptable("forbidden", "the token is for another organisation")
        return "worker:w1"

    async def whole() -> None:
        async with bench(database, check) as found:
            await found.grant(1_000)
            good, bad = ("scripauth", b"good"), ("scripauth", b"bad")
            events = [metered("e1"), metered("e2"), metered("e3"), metered("e4", scriporg="other")]
            for at, header in enumerate((good, bad, None, good)):
                events[at] = events[at]._replace(headers=(*events[at].headers, *((header,) if header else ())))
            assert (await found.intake.process(events)).applied == 1
            assert await found.waiting() == {"e2": "unauthenticated", "e3": "unauthenticated", "e4": "forbidden"}
            assert [row["actor"] for row in await found.rows("select actor from events where actor <> 'admin:t'")] == [
                "worker:w1"
            ]

    asyncio.run(whole())


def test_real_tokens_and_keys_say_who_sent(database: Database) -> None:
    values: dict[str, Any] = {"writer_url": database.writer_uri, "jwt_secret": "s" * 32, "fingerprint_secret": "f" * 32}
    settings = Settings(**values, trust_broker=False)

    async def whole() -> None:
        tokens = Tokens(settings)

        def signed(org: str, role: Role) -> str:
            return tokens.issue(org, "w1", role, 60)[0]

        cases: list[tuple[str | None, str | None]] = [
            (signed("acme", Role.WORKER), None),
            (f"Bearer {signed('acme', Role.ORG_ADMIN)}", None),
            (signed("elsewhere", Role.ADMIN), None),
            (signed("acme", Role.USER), "forbidden"),
            (signed("acme", Role.AUDITOR), "forbidden"),
            (signed("elsewhere", Role.WORKER), "forbidden"),
            (signed("acme", Role.WORKER)[:-3], "unauthenticated"),
            (tokens.issue("acme", "w1", Role.WORKER, -3600)[0], "unauthenticated"),
            ("scrip_0123_4567", "unauthenticated"),
            ("", "unauthenticated"),
            (None, "unauthenticated"),
        ]
        with Writer(database.writer_uri) as writer:
            async with opened_intake(settings, Ledger(writer), asyncio.Event()) as intake:
                intake._publish = _nowhere
                for number, (credential, _) in enumerate(cases):
                    header = () if credential is None else (("scripauth", credential.encode()),)
                    event = structured(f"e{number}", {"user_id": "nobody", "amount": 1})
                    await intake.process([event._replace(headers=(*event.headers, *header))])
        with psycopg.connect(database.owner_uri) as connection:
            found: dict[str, str] = dict(connection.execute("select event_id, reason from quarantine").fetchall())
        assert found == {f"e{n}": reason or "insufficient_credits" for n, (_, reason) in enumerate(cases)}

    asyncio.run(whole())


async def _nowhere(_rows: Sequence[Parked]) -> None:
    """In place of the quarantine topic."""

"""Who may write usage events, where the broker alone is not trusted to know."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from consumers.cloud_event import Unacceptable
from consumers.intake.opening import opened_intake
from consumers.intake.role import run_intake
from domain.registry import SCRIP
from infra.kafka.topics import provision
from infra.postgres.selfcheck import UnsafeSetting
from infra.quarantine import Parked
from infra.security.principal import Role
from infra.security.tokens import Tokens
from infra.settings import Settings
from infra.writer.ledger import Ledger
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.consumers.intake_ledger import bench
from tests.consumers.test_intake_kafka import intake, lag, send, until
from tests.consumers.usage_records import binary, metered, structured


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


def strange(header: dict[str, Any]) -> str:
    """A token with this header, which nobody has signed."""
    return b".".join(
        urlsafe_b64encode(part).rstrip(b"=") for part in (json.dumps(header).encode(), b"{}", b"x")
    ).decode()


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
            ("scrip_\0_4567", "unauthenticated"),
            (strange({"alg": ["HS256"]}), "unauthenticated"),
            (strange({"alg": {}}), "unauthenticated"),
            ("", "unauthenticated"),
            (None, "unauthenticated"),
        ]
        with Writer(database.writer_uri, SCRIP) as writer:
            async with opened_intake(settings, Ledger(writer), asyncio.Event()) as intake:
                intake.publish = _nowhere
                for number, (credential, _) in enumerate(cases):
                    header = () if credential is None else (("scripauth", credential.encode()),)
                    event = structured(f"e{number}", {"user_id": "nobody", "amount": 1})
                    await intake.process([event._replace(headers=(*event.headers, *header))])
        with psycopg.connect(database.owner_uri) as connection:
            found: dict[str, str] = dict(connection.execute("select event_id, reason from quarantine").fetchall())
        assert found == {f"e{n}": reason or "insufficient_credits" for n, (_, reason) in enumerate(cases)}

    asyncio.run(whole())


@pytest.mark.parametrize("trusted", [True, False])
def test_a_credential_that_is_there_is_always_checked(
    database: Database, kafka: str, topic_prefix: str, *, trusted: bool
) -> None:
    """Through Kafka: what the broker is trusted with are the messages without a credential, and nothing else."""
    values: dict[str, Any] = {"writer_url": database.writer_uri, "jwt_secret": "s" * 32, "fingerprint_secret": "f" * 32}
    settings = Settings(**values, kafka=kafka, topic_prefix=topic_prefix, trust_broker=trusted)
    asyncio.run(provision(settings, PARTITIONS))
    tokens = Tokens(settings)
    good, foreign = (tokens.issue(org, "w1", Role.WORKER, 60)[0] for org in ("acme", "elsewhere"))
    # Header's name and value -> the reason for which it is refused.
    cases: list[tuple[str, str, str | None]] = [
        ("scripauth", good, None),
        ("ScripAuth", good, None),
        ("scripauth", foreign, "forbidden"),
        ("scripauth", tokens.issue("acme", "u1", Role.USER, 60)[0], "forbidden"),
        ("scripauth", tokens.issue("acme", "w1", Role.WORKER, -3600)[0], "unauthenticated"),
        ("scripauth", "garbage", "unauthenticated"),
        ("scripauth", "scrip_0123_4567", "unauthenticated"),
        ("scripauth", "", "unauthenticated"),
        ("SCRIPAUTH", "garbage", "unauthenticated"),
        ("", "", None if trusted else "unauthenticated"),
    ]
    records = [
        (event := metered(f"e{number}", 1))._replace(
            headers=(*event.headers, *([(name, value.encode())] if name else ()))
        )
        for number, (name, value, _) in enumerate(cases)
    ]
    wanted = {f"e{number}": reason for number, (_, _, reason) in enumerate(cases) if reason}
    twice = metered("e-twice", 1)
    records.append(twice._replace(headers=(*twice.headers, ("scripauth", good.encode()), ("ScripAuth", b"garbage"))))
    records.append(metered("e-inside", 1, scripauth=good))
    records.append(binary("e-attribute", {"user_id": "u_1", "amount": 1}, scripauth=good))

    async def whole() -> None:
        async with bench(database) as found, intake(settings):
            await found.grant(100)
            await send(settings, records)

            async def decided() -> bool:
                return await lag(settings) == 0 and len(await found.waiting()) == len(wanted) + 3

            await until("everything decided", decided)
            waiting = await found.waiting()
            assert {id_: waiting[id_] for id_ in wanted} == wanted
            assert (waiting["e-inside"], waiting["e-attribute"]) == ("unauthenticated", "unauthenticated")
            assert "not_a_cloudevent" in waiting.values()
            assert (await found.account()).debited == len(cases) - len(wanted)

    asyncio.run(whole())


def test_the_broker_is_not_trusted_unless_it_is_said() -> None:
    assert not Settings().trust_broker
    with pytest.raises(UnsafeSetting, match="SCRIP_JWT_SECRET is empty, but must be set"):
        asyncio.run(run_intake(Settings(), asyncio.Event()))


async def _nowhere(_rows: Sequence[Parked]) -> None:
    """In place of the quarantine topic."""

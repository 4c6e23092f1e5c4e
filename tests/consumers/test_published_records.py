"""What Scrip publishes beside the log, to the byte: keys, values and headers, in their order."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from consumers.intake.record import QUARANTINE, quarantine_records
from consumers.notifier.publishing import NOTIFICATIONS, Notification, alert_record, refusal_record
from infra import decisions
from infra.decisions import DECISIONS, DEDUCTION, Decision, RefusedChecks
from infra.kafka.channels import Channel, Outgoing, Outlet
from infra.kafka.topics import provision, topic_name
from infra.position import format_position
from infra.quarantine import Parked
from infra.settings import Settings
from tests.waiting import patient

AT = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
WHOLE = datetime(2026, 1, 31, 12, tzinfo=UTC)

Published = tuple[bytes, bytes, list[tuple[str, bytes]]]


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> Settings:
    """A deployment without a database."""
    made = Settings(kafka=kafka, topic_prefix=topic_prefix)
    asyncio.run(provision(made, 12))
    return made


async def published(settings: Settings, channel: Channel, count: int) -> list[Published]:
    """The records of a topic, once there are `count`."""
    consumer = AIOKafkaConsumer(
        topic_name(settings, channel.topic), bootstrap_servers=settings.kafka, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(patient(20)):
            found = [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()
    return [(record.key, record.value, list(record.headers)) for record in found]


async def sent(settings: Settings, channel: Channel, records: Iterable[Outgoing]) -> list[Published]:
    outlet = Outlet(settings, channel)
    try:
        await outlet.publish(list(records))
    finally:
        await outlet.close()
    return await published(settings, channel, 2)


def test_notifications(settings: Settings) -> None:
    full = Notification(
        *(7, "acme", "credits_low", "scrip.credits.low", "warning", "user:u1:credits", "u1", "Only 5 credits "),
        *({"left": 5, "share": 0.25, "names": ["ä", "\n\u2028"], "big": 10**17, "none": None}, AT),
    )
    bare = Notification(*(8, "acme", "budget", "scrip.budget", "critical", "group/g1", None, "", {}, WHOLE))
    found = asyncio.run(sent(settings, NOTIFICATIONS, [alert_record(full), alert_record(bare)]))
    assert found == [
        (
            b"acme",
            '{"id":7,"org":"acme","rule":"credits_low","type":"scrip.credits.low","severity":"warning",'
            '"subject":"user:u1:credits","user_id":"u1","message":"Only 5 credits ","facts":{"left":5,"share":0.25,'
            '"names":["ä","\\n\u2028"],"big":100000000000000000,"none":null},"at":"2026-01-31T12:00:00.123456Z"}'.encode(),
            [
                ("ce_specversion", b"1.0"),
                ("ce_id", b"alert_7"),
                ("ce_type", b"scrip.credits.low"),
                ("ce_source", b"/scrip/notifier"),
                ("ce_subject", b"user:u1:credits"),
                ("ce_time", b"2026-01-31T12:00:00.123456+00:00"),
                ("ce_scriporg", b"acme"),
                ("content-type", b"application/json"),
            ],
        ),
        (
            b"acme",
            (
                b'{"id":8,"org":"acme","rule":"budget","type":"scrip.budget","severity":"critical","subject":"group/g1",'
                b'"user_id":null,"message":"","facts":{},"at":"2026-01-31T12:00:00Z"}'
            ),
            [
                ("ce_specversion", b"1.0"),
                ("ce_id", b"alert_8"),
                ("ce_type", b"scrip.budget"),
                ("ce_source", b"/scrip/notifier"),
                ("ce_subject", b"group/g1"),
                ("ce_time", b"2026-01-31T12:00:00+00:00"),
                ("ce_scriporg", b"acme"),
                ("content-type", b"application/json"),
            ],
        ),
    ]


def test_refused_generations(settings: Settings) -> None:
    full = Decision(
        org="acme", at=AT, user_id="u1", operation="image", provider="p", model="flux", feature="hd",
        reason="insufficient_credits", deficit=60, actor="worker:w", generation_id="g1", position=format_position(12),
    )  # fmt: skip
    bare = Decision(
        org="acme", at=WHOLE, user_id="u2", operation="image", reason="too_large", deficit=0, actor="user:u2",
        generation_id="g2", position=format_position(13),
    )  # fmt: skip
    found = asyncio.run(sent(settings, DECISIONS, [refusal_record(full), refusal_record(bare)]))
    position = found[0][2][1][1].partition(b"/")[2].decode()
    assert found[0] == (
        b"acme",
        b'{"org":"acme","at":"2026-01-31T12:00:00.123456Z","user_id":"u1","operation":"image",'
        b'"reason":"insufficient_credits","deficit":60,"actor":"worker:w","provider":"p","model":"flux","feature":"hd",'
        b'"generation_id":"g1","position":"%s"}' % position.encode(),
        [
            ("ce_specversion", b"1.0"),
            ("ce_id", f"acme/{position}".encode()),
            ("ce_type", b"scrip.decision.generation_refused"),
            ("ce_source", b"/scrip/decisions"),
            ("ce_time", b"2026-01-31T12:00:00.123456+00:00"),
            ("ce_scriporg", b"acme"),
            ("content-type", b"application/json"),
        ],
    )
    assert int(position) == 12
    assert found[1][1] == (
        b'{"org":"acme","at":"2026-01-31T12:00:00Z","user_id":"u2","operation":"image","reason":"too_large",'
        b'"deficit":0,"actor":"user:u2","generation_id":"g2","position":"%s"}' % found[1][2][1][1][5:]
    )


def test_refused_checks_and_deductions(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["one", "two"])
    monkeypatch.setattr(decisions, "token_hex", lambda _bytes: next(ids))

    async def whole() -> list[Published]:
        checks = RefusedChecks(settings)
        checks._untold[("acme", "u2")] = 3
        checks.start()
        refused: dict[str, Any] = {"reason": "insufficient_credits", "deficit": 60, "at": AT}
        checks.refused_check("acme", "u1", "image", "flux", actor="user:u1", **refused)
        checks.refused_check("acme", "u2", "image", None, actor="user:u2", type_=DEDUCTION, **refused)
        found = await published(settings, DECISIONS, 2)
        await checks.stop()
        return found

    rest = [("ce_source", b"/scrip/decisions"), ("ce_time", b"2026-01-31T12:00:00.123456+00:00")]
    rest += [("ce_scriporg", b"acme"), ("content-type", b"application/json")]
    check = [("ce_specversion", b"1.0"), ("ce_id", b"one"), ("ce_type", b"scrip.decision.check_refused"), *rest]
    deduction = [("ce_specversion", b"1.0"), ("ce_id", b"two"), ("ce_type", b"scrip.decision.deduction_refused"), *rest]
    assert asyncio.run(whole()) == [
        (
            b"acme",
            (
                b'{"org":"acme","at":"2026-01-31T12:00:00.123456Z","user_id":"u1","operation":"image",'
                b'"reason":"insufficient_credits","deficit":60,"actor":"user:u1","model":"flux"}'
            ),
            check,
        ),
        (
            b"acme",
            (
                b'{"org":"acme","at":"2026-01-31T12:00:00.123456Z","user_id":"u2","operation":"image",'
                b'"reason":"insufficient_credits","deficit":60,"actor":"user:u2","left_out":3}'
            ),
            deduction,
        ),
    ]


def test_quarantine(settings: Settings) -> None:
    row = Parked("q1", "acme", "/w", "e1", "not_found", "There is no ä.", "s" * 700_001, b"")

    first, second = asyncio.run(sent(settings, QUARANTINE, quarantine_records(row)))
    start = '{"id":"q1","org":"acme","source":"/w","event_id":"e1","reason":"not_found","detail":"There is no ä.",'
    assert first == (
        b"acme",
        f'{start}"sealed":"{"s" * 700_000}","parts":2}}'.encode(),
        [
            ("ce_specversion", b"1.0"),
            ("ce_id", b"q1"),
            ("ce_type", b"scrip.quarantine.parked"),
            ("ce_source", b"/scrip/intake"),
            ("ce_scriporg", b"acme"),
            ("content-type", b"application/json"),
        ],
    )
    assert (second[1], second[2][1]) == (f'{start}"sealed":"s","part":2,"parts":2}}'.encode(), ("ce_id", b"q1.2"))

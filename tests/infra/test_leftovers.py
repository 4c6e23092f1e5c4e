"""What has done its work is deleted after a time, and nothing that waits for something."""

import asyncio
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from infra.sweeper import Leftovers
from tests.conftest import Database

_FILL = """
    insert into webhooks (id, org, url, secret, created_by) values ('w', 'acme', 'https://a.example', '', 'admin:t');
    insert into alerts (org, rule, key, type, severity, subject, message, data)
        values ('acme', 'r', 'k', 't', 'info', 's', 'm', '{}');
    insert into deliveries (id, org, webhook_id, alert_id, status, at)
        select v.id, 'acme', 'w', a.id, v.status, scrip_now() - v.age::interval from alerts a, (values
            ('old', 'delivered', '91 days'), ('old-failed', 'failed', '91 days'), ('new', 'delivered', '89 days'),
            ('waits', 'pending', '91 days')) v (id, status, age);
    insert into quarantine (id, org, source, event_id, reason, detail, body, resolved_at)
        select id, 'acme', 's', id, 'r', 'd', '', scrip_now() - age::interval from (values
            ('old', '91 days'), ('new', '89 days'), ('open', null)) v (id, age);
    insert into audits (by, started_at, ended_at, holds, report)
        select 'admin:t', scrip_now(), scrip_now() - interval '91 days', true, '{}' from generate_series(1, 2)"""


def test_what_has_ended_long_ago_goes(database: Database) -> None:
    def left(table: str) -> list[Any]:
        with psycopg.connect(database.owner_uri) as connection:
            return [row[0] for row in connection.execute(f"select id from {table} order by id").fetchall()]

    async def whole() -> None:
        async with AsyncConnectionPool(
            database.writer_uri, min_size=1, max_size=1, open=False, kwargs={"autocommit": True}
        ) as pool:
            made = Leftovers(pool)
            assert await made.delete() == 4
            assert await made.delete() == 0  # once an hour

    with psycopg.connect(database.owner_uri) as connection:
        connection.execute(_FILL)
    asyncio.run(whole())
    assert left("deliveries") == ["new", "waits"]
    assert left("quarantine") == ["new", "open"]
    assert left("audits") == [2]  # the newest says when there was one

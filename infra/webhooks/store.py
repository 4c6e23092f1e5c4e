"""An organisation's webhooks and what was delivered to them, as the API reads and changes them."""

from collections.abc import Sequence
from secrets import token_hex
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from infra.webhooks.signature import WebhookSecrets

MAX_WEBHOOKS = 50  # of an organisation
MAX_RESENDS = 100  # of a webhook that wait, or are tried again
SHOWN = "id, url, types, description, enabled, disabled_reason, failing_since, created_by, created_at, updated_at"

Row = dict[str, Any]
Pool = AsyncConnectionPool[Any]

_COUNT_LOCK = "select pg_advisory_xact_lock(hashtextextended('webhooks of ' || %s, 0))"
_INSERT = f"""
    insert into webhooks (id, org, url, secret, types, description, enabled, created_by)
    values (%(id)s, %(org)s, %(url)s, %(secret)s, %(types)s, %(description)s, %(enabled)s, %(by)s)
    returning {SHOWN}"""
# A webhook that is switched on again starts with a clean record.
_CHANGE = f"""
    update webhooks set
        url = coalesce(%(url)s, url),
        types = case when %(all_types)s then null else coalesce(%(types)s::text[], types) end,
        description = coalesce(%(description)s, description),
        enabled = coalesce(%(enabled)s, enabled),
        disabled_reason = case when %(enabled)s is null then disabled_reason end,
        failing_since = case when %(enabled)s then null else failing_since end,
        updated_at = scrip_now()
    where org = %(org)s and id = %(id)s returning {SHOWN}"""
_RESEND = """
    insert into deliveries (id, org, webhook_id, alert_id, resend_of)
    select %(new)s, d.org, d.webhook_id, d.alert_id, coalesce(d.resend_of, d.id) from deliveries d
    where d.org = %(org)s and d.webhook_id = %(webhook)s and d.id = %(id)s and (
        select count(*) from deliveries w
        where w.webhook_id = %(webhook)s and w.status = 'pending' and w.resend_of is not null
    ) < %(most)s
    on conflict (id) do nothing"""


class WebhookTaken(Exception):
    """The same idempotency key made another webhook before."""


class TooManyResends(Exception):
    """So many resends of the webhook wait that it gets no more."""


class TooManyWebhooks(Exception):
    """The organisation has as many webhooks as it may have."""


class Webhooks:
    """The webhooks of all organisations. `pool`: login scrip_writer, autocommit."""

    def __init__(self, pool: Pool, secrets: WebhookSecrets) -> None:
        self._pool = pool
        self._secrets = secrets

    async def create(
        self,
        org: str,
        url: str,
        types: Sequence[str] | None,
        *,
        by: str,
        description: str = "",
        enabled: bool = True,
        idempotency: tuple[str, bytes] | None = None,
    ) -> tuple[Row, str, bool]:
        """The webhook, its secret (shown now and never again), and whether this repeats an earlier request.

        `idempotency`: the request's key and fingerprint, from which id and secret then follow. `types` none: all.
        Raises WebhookTaken, TooManyWebhooks, psycopg.Error.
        """
        key, fingerprint = idempotency or (token_hex(16), token_hex(16).encode())
        id_ = self._secrets.identity(org, by, key)
        secret = self._secrets.made(org, by, key, fingerprint.hex())
        async with self._pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(_COUNT_LOCK, (org,))
            await cursor.execute(f"select {SHOWN}, secret from webhooks where org = %s and id = %s", (org, id_))
            known = await cursor.fetchone()
            if known is not None:
                if self._secrets.decrypt(org, id_, bytes(known.pop("secret"))) != secret:
                    raise WebhookTaken
                return known, secret, True
            await cursor.execute("select count(*) as n from webhooks where org = %s", (org,))
            counted = await cursor.fetchone()
            if counted is not None and counted["n"] >= MAX_WEBHOOKS:
                raise TooManyWebhooks
            stored = self._secrets.encrypt(org, id_, secret)
            values = {"url": url, "types": types and list(types), "description": description, "enabled": enabled}
            await cursor.execute(_INSERT, {"id": id_, "org": org, "secret": stored, "by": by, **values})
            made = await cursor.fetchone()
            if made is None:
                raise AssertionError("an insert returns its row")
            return made, secret, False

    async def change(
        self,
        org: str,
        id_: str,
        *,
        url: str | None = None,
        types: Sequence[str] | None = None,
        all_types: bool = False,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Row | None:
        """The webhook as it is now, or none where the organisation has no such; none of a value leaves it as it is."""
        async with self._pool.connection() as connection:
            cursor = await connection.cursor(row_factory=dict_row).execute(
                _CHANGE,
                {
                    "org": org,
                    "id": id_,
                    "url": url,
                    "types": list(types) if types is not None else None,
                    "all_types": all_types,
                    "description": description,
                    "enabled": enabled,
                },
            )
            changed: Row | None = await cursor.fetchone()
            return changed

    async def delete(self, org: str, id_: str) -> bool:
        """Forget a webhook with its deliveries; whether there was one."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("delete from webhooks where org = %s and id = %s", (org, id_))
            return bool(cursor.rowcount == 1)

    async def resend(self, org: str, webhook: str, delivery: str, *, by: str, key: str | None = None) -> str | None:
        """Deliver the alert of a delivery once more, soon, and return the new delivery's id; none where there is none.

        The message keeps its `webhook-id`, so that a receiver that had it already knows it again. The same `key` of
        the same caller resends once. Raises TooManyResends, psycopg.Error.
        """
        new = self._secrets.identity("resend", org, by, webhook, delivery, key or token_hex(16))
        async with self._pool.connection() as connection:
            asked = {"org": org, "webhook": webhook, "id": delivery, "new": new, "most": MAX_RESENDS}
            await connection.execute(_RESEND, asked)
            cursor = await connection.execute(
                "select id from deliveries where org = %s and webhook_id = %s and id in (%s, %s)",
                (org, webhook, new, delivery),
            )
            found = {row[0] for row in await cursor.fetchall()}
        if new not in found and delivery in found:
            raise TooManyResends
        return new if new in found else None

"""A balance at another time: the account's events up to then, folded again, and what time alone does until then."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from api.current import balance_of, database_time
from api.problems import invalid
from api.services import Services
from domain.credits.account import Account, evolve
from domain.credits.address import stream_of
from domain.credits.due import due
from infra.codec import Codec

CHUNK = 2_000
_CODEC = Codec()
_EVENTS = """
    select version, position, type, data from events
    where org = %(org)s and stream = %(stream)s and version > %(version)s and time <= %(until)s
    order by version limit %(limit)s"""


async def balance_at(
    services: Services, org: str, address: str, effective_at: datetime | None, known_at: datetime | None
) -> dict[str, Any]:
    """The balance at `effective_at` by what had been recorded at `known_at`.

    Either defaults to the other. Time that lies beyond what was known is let pass: grants begin and end, holds expire.
    Raises Problem (422) for a `known_at` in the future.
    """
    now = await database_time(services)
    if known_at is not None and known_at > now:
        raise invalid("known_at", "must not be in the future")
    effective = effective_at or known_at or now
    recorded_by = min(known_at or now, effective)
    account, position = Account(), 0
    version = 0
    while True:
        wanted = {"org": org, "stream": stream_of(address), "version": version, "until": recorded_by, "limit": CHUNK}
        rows = await services.rows(_EVENTS, wanted)
        if rows:
            account = await services.threads.run(_fold, account, rows)
            version, position = rows[-1]["version"], rows[-1]["position"]
        if len(rows) < CHUNK:
            break
    account = await services.threads.run(_let_pass, account, effective)
    return balance_of(address, account, position, effective)


def _fold(account: Account, rows: Sequence[dict[str, Any]]) -> Account:
    for row in rows:
        account = evolve(account, _CODEC.decode(row["type"], bytes(row["data"])))
    return account


def _let_pass(account: Account, until: datetime) -> Account:
    for event in due(account, until):
        account = evolve(account, event)
    return account

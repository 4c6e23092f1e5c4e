"""A balance at another time: the account's events up to then, folded again, and what time alone does until then."""

from datetime import datetime
from typing import Any

from api.current import balance_of, database_time
from api.http.caller import Call
from api.problems import invalid
from api.services import Services
from api.stream_state import MOST_FOLDED, folded, nearest, too_many_events
from domain.credits.account import Account, evolve
from domain.credits.address import stream_of
from domain.credits.due import due

# The last version that a stream had at a moment. Times never go back within a stream, so a binary search over the
# versions finds it; the events that came later need not be read.
_REACHED = """
    with recursive newest as (
        select coalesce(max(version), 0) as version from events where org = %(org)s and stream = %(stream)s
    ), search (low, high) as (
        select 0::bigint, version::bigint from newest
        union all
        select case when found.then then middle else low end, case when found.then then high else middle - 1 end
        from (select low, high, (low + high + 1) / 2 as middle from search where low < high) s,
            lateral (
                select time <= %(until)s as then from events
                where org = %(org)s and stream = %(stream)s and version = s.middle
            ) found
    )
    select low as version from search where low = high"""


async def balance_at(
    call: Call, address: str, effective_at: datetime | None, known_at: datetime | None
) -> dict[str, Any]:
    """The balance at `effective_at` by what had been recorded at `known_at`.

    Either defaults to the other. Time that lies beyond what was known is let pass: grants begin and end, holds expire.
    Raises Problem: 422 for a `known_at` in the future and where too many events would have to be folded, 429 and 503
    where too much is folded already.
    """
    now = await database_time(call.services)
    if known_at is not None and known_at > now:
        raise invalid("known_at", "must not be in the future")
    effective = effective_at or known_at or now
    recorded_by = min(known_at or now, effective)
    stream = stream_of(address)
    async with call.services.folds.enter(call.org, call.principal.actor):
        wanted = {"org": call.org, "stream": stream, "until": recorded_by}
        found = await call.services.row(_REACHED, wanted)
        version = found["version"] if found else 0
        after, account = await _start(call.services, call.org, stream, version)
        account, position = await folded(call.services, call.org, stream, account, after, version)
        account = await call.services.threads.run(_let_pass, account, effective)
    return balance_of(address, account, position or 0, effective)


async def _start(services: Services, org: str, stream: str, version: int) -> tuple[int, Any]:
    """The version to fold from, before `version`, and its state. Raises Problem (422) where that is too far away."""
    if version <= MOST_FOLDED:
        return 0, Account()
    after, account = await nearest(services, org, stream, version)
    if version - after > MOST_FOLDED:
        raise too_many_events()
    return after, account


def _let_pass(account: Account, until: datetime) -> Account:
    for event in due(account, until):
        account = evolve(account, event)
    return account

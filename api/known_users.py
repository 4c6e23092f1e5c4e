"""Which of the users that somebody names are known: for a list that was pasted, before anything is done with it."""

from collections import Counter
from typing import Any

from api.operation import Call
from api.problems import invalid
from api.services import Services
from domain.ids import is_id

MOST = 200  # names in one question
# Users leave their names in several tables; each is looked up by its key.
_KNOWN = """
    select n.user_id, coalesce(c.available, 0) as credits_available, coalesce(c.reserved, 0) as credits_reserved,
        coalesce(t.available, 0) as tokens_available, coalesce(s.used, 0) as storage_used
    from unnest(%(ids)s::text[] collate "C") as n (user_id)
    left join read.balances c on c.org = %(org)s and c.address = 'user:' || n.user_id || ':credits'
    left join read.balances t on t.org = %(org)s and t.address = 'user:' || n.user_id || ':tokens'
    left join read.storages s on s.org = %(org)s and s.user_id = n.user_id
    where c.org is not null or t.org is not null or s.org is not null
      or exists (select from read.members where org = %(org)s and user_id = n.user_id)
      or exists (select from read.budgets where org = %(org)s and user_id = n.user_id)
      or exists (select from read.generations where org = %(org)s and user_id = n.user_id)
      or exists (select from read.balances where org = %(org)s and owner_type = 'user' and owner_id = n.user_id
        and address >= 'user:' || n.user_id and starts_with(address, 'user:' || n.user_id || ':'))
    order by n.user_id"""


async def known_users(services: Services, call: Call, names: str) -> dict[str, Any]:
    """Of the ids in `names` (by commas) the users that are known, as `items`, and the others.

    `unknown` ids may be added all the same: a user exists from the first use. `repeated` are named more than once,
    `invalid` can be nobody's. Raises Problem (422) for more than 200.
    """
    named = [name for name in (each.strip() for each in names.split(",")) if name]
    if len(named) > MOST:
        raise invalid("ids", f"must be at most {MOST}", limit=MOST)
    times = Counter(named)
    ids = [name for name in times if is_id(name)]
    rows = await services.rows(_KNOWN, {"org": call.org, "ids": ids}) if ids else []
    known = {row["user_id"] for row in rows}
    return {
        "items": rows,
        "next_cursor": None,
        "unknown": [name for name in ids if name not in known],
        "repeated": [name for name, count in times.items() if count > 1],
        "invalid": [name for name in times if not is_id(name)],
    }

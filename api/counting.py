"""Count what is open before the first limit on it is set (domain/generations/count.py)."""

from collections.abc import Iterable
from typing import Any

from api.database import UNREACHABLE
from api.problems import away, not_yet_visible, refused, turned_away, unknown_outcome
from api.services import Services
from domain.generations.count import MOST_AT_ONCE, CountEarlier, StartCounting
from domain.quotas.counted import stream_of
from domain.resources.table import RESOURCES
from infra.writer.submission import Outcome, OutcomeUnknown, Overloaded, Submission

# What was open before counting started is among it once the read models have reached that. What it has beside, because
# they are behind with what was counted or ended since, is left alone by the command.
_OF_STATUS = """(select g.id, g.created_position from read.generations g
    where g.org = %(org)s and g.status = '{}' and g.created_position between %(first)s and %(last)s and not exists (
        select 1 from read.use_holds h where h.org = g.org and h.stream = %(stream)s and h.generation_id = g.id)
    order by g.created_position limit %(most)s)"""
_NOT_COUNTED = (
    f"select * from ({_OF_STATUS.format('held')} union all {_OF_STATUS.format('running')}) found"
    " order by created_position limit %(most)s"
)


async def count_open(services: Services, org: str, resource: str, actor: str) -> None:
    """Count all that is open, a slice at a time. It can be repeated, and goes on where another one was killed.

    Raises Problem: 503 where the read models do not come up in time or nothing can be reached, 409 where more is open
    than one stream may hold.
    """
    try:
        await _count(services, org, resource, actor)
    except UNREACHABLE as error:
        raise away(error) from None
    except OutcomeUnknown:
        raise unknown_outcome() from None
    except Overloaded as error:
        raise turned_away(error) from None


def limited_by(commands: Iterable[Any]) -> set[str]:
    """The resources on which the commands set a limit and that must be counted before it."""
    found: set[str] = set()
    for given in filter(None, (getattr(command, "settings", None) for command in commands)):
        found.update(name for setting, name in RESOURCES.counting.items() if given.get(setting.name) is not None)
    return found


async def _count(services: Services, org: str, resource: str, actor: str) -> None:
    outcome = await _run(services, org, actor, StartCounting(resource=resource))
    if outcome.result_state:
        return
    if not await services.visible.reached(outcome.partition, outcome.position):
        raise not_yet_visible()
    asked = {"org": org, "stream": stream_of(resource), "most": MOST_AT_ONCE, "first": 0, "last": outcome.position}
    last = False
    while not last:
        rows = await services.rows(_NOT_COUNTED, asked)
        ids = tuple(row["id"] for row in rows)
        last = len(ids) < MOST_AT_ONCE
        await _run(services, org, actor, CountEarlier(resource=resource, generation_ids=ids, last=last))
        if rows:
            asked["first"] = rows[-1]["created_position"] + 1


async def _run(services: Services, org: str, actor: str, command: StartCounting | CountEarlier) -> Outcome:
    outcome = await services.ledger.execute(Submission(org=org, command=command, actor=actor, caller=actor))
    if outcome.refusal is not None:
        raise refused(outcome.refusal)
    return outcome

"""When a group's limits are full if its members go on as they did (S1), by the method of `api/run_out.py`."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from api.run_out import FARTHEST_DAYS, WINDOW_DAYS
from api.services import Services

COUNTED = ("image", "video")
# How long a period can be at most, for one that has not begun.
_LONGEST_DAYS = {"day": 1, "week": 7, "month": 31}
_USED = """
    select group_id, what, sum(amount) as amount from read.group_usage
    where org = %(org)s and group_id = any(%(ids)s) and at >= %(since)s and what in ('image', 'video')
    group by 1, 2"""

Used = dict[tuple[str, str], int]  # by group and what is counted


async def used_lately(services: Services, org: str, groups: Iterable[str], now: datetime) -> Used:
    """What the groups used in the last 14 days, to the quarter of an hour; refunds are taken off."""
    since = now - timedelta(days=WINDOW_DAYS)
    rows = await services.rows(_USED, {"org": org, "ids": list(groups), "since": since})
    return {(row["group_id"], row["what"]): row["amount"] for row in rows}


def full_in_days(group: dict[str, Any], used: Used, now: datetime) -> dict[str, int | None]:
    """Days until each limit of a group, as it is answered, is full: at the mean of the last 14 days, rounded up.

    0: it is full. None where nothing is limited or was used, and where use starts anew before it is full.
    """
    return {
        what: _days(group["remaining"][what], used.get((group["id"], what), 0), _anew_in(group, now))
        for what in COUNTED
    }


def _days(remaining: int | None, used: int, anew_in: timedelta | None) -> int | None:
    if remaining is None or not remaining:
        return remaining
    if used <= 0:
        return None
    seconds = remaining * WINDOW_DAYS * 86_400 // used
    if seconds > FARTHEST_DAYS * 86_400 or (anew_in is not None and timedelta(seconds=seconds) > anew_in):
        return None
    return -(-remaining * WINDOW_DAYS // used)


def _anew_in(group: dict[str, Any], now: datetime) -> timedelta | None:
    """How long until use starts anew at the latest; none for never."""
    if group["period_end"] is not None:
        end: timedelta = group["period_end"] - now
        return end
    longest = _LONGEST_DAYS.get(group["period"])
    return timedelta(days=longest) if longest else None

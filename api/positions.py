"""Times as positions. In a partition time never goes back as positions go up, so a time is found by halving."""

from datetime import datetime

from api.services import Services

FIRST_AT = """
    with recursive halved (low, high) as (
        select 0::bigint, coalesce((select max(position) from events where partition = %(partition)s), 0) + 1
        union all
        select case when e.time < %(time)s then middle else low end,
            case when e.time < %(time)s then high else middle end
        from (select low, high, (low + high) / 2 as middle from halved where high - low > 1) h
        join lateral (select time from events where partition = %(partition)s and position = h.middle) e on true
    )
    select min(high) as position from halved"""


async def first_at(services: Services, partition: int, time: datetime) -> int:
    """The position of the partition's first event at or after `time`; one past the last where there is none."""
    rows = await services.rows_of_all(FIRST_AT, {"partition": partition, "time": time})
    return int(rows[0]["position"]) if rows else 1


async def bounds(services: Services, partition: int, from_: datetime | None, to: datetime | None) -> tuple[int, int]:
    """The positions, first included and last not, of the events from `from_` (included) to `to` (not included)."""
    first = await first_at(services, partition, from_) if from_ is not None else 1
    last = await first_at(services, partition, to) if to is not None else 2**62
    return first, last

"""The SQL behind lists of groups: by id, or those closest to a limit first."""

FULLEST = 2**62  # above what any group can be
MOST_FULL = FULLEST - 1
# Use of a period that has ended is none of the current one, also before the read model is told so.
# `fullness` is what is taken of the fullest limit in hundredths of a percent, -1 where nothing is limited.
_LIVE = """
    select g.id, g.name, g.description, g.limits, g.every, g.settings, g.member_count, g.used, g.held, g.period_key,
        g.period_start, g.period_end, coalesce(g.period_end <= scrip_now(), false) as ended, g.position,
        {fullness} as fullness, scrip_now() as now
    from read.groups g
    where g.org = %(org)s and g.deleted_at is null
      and (%(user)s::text is null or exists (
        select 1 from read.members m where m.org = g.org and m.group_id = g.id and m.user_id = %(user)s))"""
_FULL = f"""
    coalesce((select max(case when l.most::bigint = 0 then 10000 when g.period_end <= scrip_now() then 0
        else least((coalesce((g.used ->> l.what)::bigint, 0) + coalesce((g.held ->> l.what)::bigint, 0))
            * 10000::numeric / l.most::bigint, {MOST_FULL}) end)::bigint
        from jsonb_each_text(g.limits) as l (what, most)), -1)"""
BY_ID = _LIVE.format(fullness="0") + " and g.id > %(after)s order by g.id limit %(limit)s"
CLOSEST = f"""
    select * from ({_LIVE.format(fullness=_FULL)}) live
    where fullness < %(fullness)s or (fullness = %(fullness)s and id > %(after)s)
    order by fullness desc, id limit %(limit)s"""

"""The SQL behind everything about one user; each statement is bounded and goes by an index of (org, user)."""

ACCOUNTS = """
    select address, unit, granted, debited, refunded, expired, reserved, available, frozen, closed, credit_limit,
        shortfall, greatest(0, -available) as overdrawn, updated_at
    from read.balances where org = %(org)s and owner_type = 'user' and owner_id = %(user)s
    order by address limit %(most)s"""
HOLDS = """
    select r.id as reservation_id, r.address, r.amount, r."left", r.generation, r.item, r.created_at, r.expires_at
    from read.reservations r
    where r.org = %(org)s and r.address = any(%(addresses)s) and r.status = 'held'
    order by r.created_position desc limit %(most)s"""
GENERATIONS = """
    select id as generation_id, operation, provider, model, status, reason, outcome, quoted_credits, quoted_tokens,
        charged_credits, charged_tokens, parent_id, created_at, ended_at, expires_at
    from read.generations where org = %(org)s and user_id = %(user)s
    order by created_position desc limit %(most)s"""
GROUPS = """
    select g.id, g.name, m.joined_at, g.limits, g.used, g.held, g.every as period, g.period_end
    from read.members m join read.groups g on g.org = m.org and g.id = m.group_id
    where m.org = %(org)s and m.user_id = %(user)s order by m.position limit %(most)s"""
PURCHASES = """
    select id, user_id, provider, status, price, currency, package, address as account, plan, billing, payment_ref,
        reason, created_at, created_position, ended_at, position
    from read.purchases where org = %(org)s and user_id = %(user)s
    order by created_position desc limit %(most)s"""
REFUSALS = """
    select generation_id, operation, model, reason, deficit, checks, at
    from read.refusals where org = %(org)s and user_id = %(user)s order by position desc limit %(most)s"""
ALERTS = """
    select id::text, rule, severity, message, at from alerts
    where org = %(org)s and (user_id = %(user)s or subject = any(%(subjects)s))
    order by id desc limit %(most)s"""

# Users leave their names in several tables. Those with a row for each user are read by their keys; of generations,
# which are many, one row for each user is looked up, from name to name.
USERS = """
    with recursive busy as (
        (select user_id from read.generations where org = %(org)s and user_id > %(after)s
            and user_id >= %(prefix)s order by user_id limit 1)
        union all
        select (select g.user_id from read.generations g where g.org = %(org)s and g.user_id > busy.user_id
            order by g.user_id limit 1)
        from busy where busy.user_id is not null
    ), named as (
        (select user_id from busy where user_id is not null limit %(limit)s)
        union
        (select owner_id from read.balances where org = %(org)s and owner_type = 'user'
            and address >= 'user:' || %(prefix)s and starts_with(address, 'user:' || %(prefix)s)
            and owner_id > %(after)s group by owner_id order by owner_id limit %(limit)s)
        union
        (select user_id from read.storages where org = %(org)s and user_id > %(after)s
            and starts_with(user_id, %(prefix)s) order by user_id limit %(limit)s)
        union
        (select user_id from read.budgets where org = %(org)s and user_id > %(after)s
            and starts_with(user_id, %(prefix)s) order by user_id limit %(limit)s)
        union
        (select distinct user_id from read.members where org = %(org)s and user_id > %(after)s
            and starts_with(user_id, %(prefix)s) order by user_id limit %(limit)s)
    )
    select n.user_id, coalesce(c.available, 0) as credits_available, coalesce(c.reserved, 0) as credits_reserved,
        coalesce(t.available, 0) as tokens_available, coalesce(s.used, 0) as storage_used
    from named n
    left join read.balances c on c.org = %(org)s and c.address = 'user:' || n.user_id || ':credits'
    left join read.balances t on t.org = %(org)s and t.address = 'user:' || n.user_id || ':tokens'
    left join read.storages s on s.org = %(org)s and s.user_id = n.user_id
    where starts_with(n.user_id, %(prefix)s)
    order by n.user_id limit %(limit)s"""

# One position can have several lines; `line` tells them apart. Each part gives as many as the whole page may have.
_PAGE = "and (position, line) < (%(position)s, %(line)s) order by position desc, line desc limit %(limit)s"
TIMELINE = f"""
    select * from (
        (select * from (
            select position, n::int as line, created_at as at, type as kind, address as subject,
                coalesce(generation_id, reservation_id, debit_id, grant_id, transfer_id, refund_id) as id,
                amount, item as about, actor, null::text as reason
            from read.transactions where org = %(org)s and address = any(%(addresses)s) and position <= %(position)s
        ) moved where true {_PAGE})
        union all
        (select * from (
            select created_position as position, 1000 as line, created_at as at, case when status = 'refused'
                then 'generation_refused' else 'generation_created' end as kind, operation as subject, id,
                quoted_credits as amount, coalesce(model, item) as about, actor, reason
            from read.generations where org = %(org)s and user_id = %(user)s and created_position <= %(position)s
        ) asked where true {_PAGE})
        union all
        (select * from (
            select position, 1001 as line, ended_at as at, 'generation_' || status as kind, operation as subject, id,
                charged_credits as amount, coalesce(model, item) as about, null as actor, outcome as reason
            from read.generations where org = %(org)s and user_id = %(user)s and ended_at is not null
                and status <> 'refused'
        ) ended where true {_PAGE})
        union all
        (select * from (
            select created_position as position, 1002 as line, created_at as at, 'content_stored' as kind,
                generation_id as subject, id, bytes as amount, null as about, null as actor, null as reason
            from read.contents where org = %(org)s and user_id = %(user)s
        ) stored where true {_PAGE})
        union all
        (select * from (
            select position, 1003 as line, deleted_at as at, 'content_deleted' as kind,
                generation_id as subject, id, bytes as amount, null as about, null as actor, null as reason
            from read.contents where org = %(org)s and user_id = %(user)s and deleted_at is not null
        ) deleted where true {_PAGE})
        union all
        (select * from (
            select created_position as position, 1004 as line, created_at as at, 'purchase_started' as kind,
                coalesce(plan, package ->> 'name') as subject, id, price as amount, currency as about,
                null as actor, null as reason
            from read.purchases where org = %(org)s and user_id = %(user)s
        ) bought where true {_PAGE})
        union all
        (select * from (
            select position, 1005 as line, ended_at as at, 'purchase_' || status as kind,
                coalesce(plan, package ->> 'name') as subject, id, price as amount, currency as about,
                null as actor, reason
            from read.purchases where org = %(org)s and user_id = %(user)s and ended_at is not null
        ) paid where true {_PAGE})
        union all
        (select * from (
            select position, 1006 as line, joined_at as at, 'group_joined' as kind, group_id as subject,
                group_id as id, null::bigint as amount, null as about, null as actor, null as reason
            from read.members where org = %(org)s and user_id = %(user)s
        ) joined where true {_PAGE})
    ) merged
    order by position desc, line desc limit %(limit)s"""

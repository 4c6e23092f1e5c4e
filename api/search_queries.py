"""The SQL behind the search for support: each part goes by a key or index whose order is that of bytes, and is bounded.

A generation's holds go under its own id, so only reservations without one are found as such. Payment references and
grants are found by the tags of the log, where they are unique.
"""

FOUND = """
    with tagged as (
        (select tag, stream from events where org = %(org)s and tag >= 'payment/' || %(q)s
            and starts_with(tag, 'payment/' || %(q)s) order by tag limit %(most)s * 2)
        union
        (select tag, stream from events where org = %(org)s and tag >= 'grant/' || %(q)s
            and starts_with(tag, 'grant/' || %(q)s) order by tag limit %(most)s * 2)
    )
    (select 'generation' as kind, id, user_id, null as account, jsonb_build_object('operation', operation,
            'model', model, 'status', status, 'at', created_at) as facts
        from read.generations where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s)
        order by id limit %(most)s)
    union all
    (select 'purchase', id, user_id, address, jsonb_build_object('what', coalesce(plan, package ->> 'name'),
            'price', price, 'currency', currency, 'status', status, 'payment_ref', payment_ref, 'at', created_at)
        from read.purchases where org = %(org)s and (
            id in (select id from read.purchases where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s)
                order by id limit %(most)s)
            or id in (select substr(stream, 10) from tagged where starts_with(stream, 'purchase/')))
        order by id limit %(most)s)
    union all
    (select 'grant', g.id, null, g.address, jsonb_build_object('amount', g.amount, 'remaining', g.remaining,
            'source', g.source, 'status', g.status, 'payment_ref', g.external_ref, 'at', g.granted_at)
        from tagged t join read.grants g on g.org = %(org)s and g.address = substr(t.stream, 9)
            and (g.external_ref = substr(t.tag, 9) or g.id = substr(t.tag, 7))
        where starts_with(t.stream, 'account/')
        order by g.id limit %(most)s)
    union all
    (select 'debit', id, null, address, jsonb_build_object('amount', amount, 'refunded', refunded, 'item', item,
            'at', created_at)
        from read.debits where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s)
        order by id limit %(most)s)
    union all
    (select 'reservation', id, null, address, jsonb_build_object('amount', amount, 'status', status, 'at', created_at)
        from read.reservations where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s) and not generation
        order by id limit %(most)s)
    union all
    (select 'group', id, null, null, jsonb_build_object('name', name, 'members', member_count, 'at', created_at)
        from read.groups where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s) and deleted_at is null
        order by id limit %(most)s)"""

ORGANISATIONS = """
    select org as id, plan from read.organisations where org >= %(q)s and starts_with(org, %(q)s)
    order by org limit %(most)s"""

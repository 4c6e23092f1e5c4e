-- Each login does its work and nothing else: it can hold up, starve or overrule no other.

-- The locks of the log's partitions, one row for each. Only the writer may lock them: an advisory lock is anybody's.
-- `held` is there to be allowed to update, which locking a row takes; it has one value only.
create table partition_locks (
    partition smallint primary key,
    held boolean not null default true check (held)
);
insert into partition_locks (partition) select generate_series(0, partitions - 1) from log;
grant select, update (held) on partition_locks to scrip_writer;

-- The projector makes the schemas of its generations by this function, and no others: one with the name of a login
-- would stand before ours wherever PostgreSQL's usual search path holds.
create function make_read_generation(number integer) returns void language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
begin
    if number is null or number < 1 then
        raise exception 'a generation has a number above 0' using errcode = 'invalid_parameter_value';
    end if;
    execute format('create schema read_g%s authorization scrip_projector', number);
end $$;
revoke execute on function make_read_generation from public;
grant execute on function make_read_generation to scrip_projector;
do $$
begin
    execute format('revoke create on database %I from scrip_projector, public', current_database());
    execute format('revoke temporary on database %I from public', current_database());
end $$;

-- For people and their SQL: reads what scrip_auditor reads. A login of its own, so that who knows its password cannot
-- change that of the service, use up its connections or end its sessions. Without a password nobody gets in.
do $$
begin
    if not exists (select from pg_roles where rolname = 'scrip_analyst') then
        create role scrip_analyst login;
    end if;
end $$;
grant scrip_auditor to scrip_analyst with inherit true, set false;

-- Column by column: a right to update the whole table is one to lock it against everybody.
revoke update on rebuilds from scrip_projector;
grant update (state, started_at, seen_at, ended_at, done, total, generation, error) on rebuilds to scrip_projector;

-- What is called in somebody's session is called with that session's search path, unless it has its own.
alter function refuse_change() set search_path = pg_catalog, pg_temp;
alter function protect_rows(regclass, boolean) set search_path = pg_catalog, pg_temp;
revoke execute on function refuse_change() from public;
-- Its names are resolved now, once, so that it stays as fast as what it calls.
create or replace function scrip_now() returns timestamptz language sql volatile
begin atomic
    select clock_timestamp();
end;
revoke execute on function scrip_now() from public;
grant execute on function scrip_now() to scrip_writer, scrip_relay, scrip_projector, scrip_reader, scrip_auditor;
alter default privileges revoke execute on functions from public;

-- Functions of PostgreSQL that everybody may call, although they lock what others need, write to the disk, run the
-- text of a query or end sessions. `needed_by` are the logins that need one.
create function open_functions() returns table (called regprocedure, needed_by text[]) stable
set search_path = pg_catalog, pg_temp language sql as $$
    select p.oid::regprocedure, array(
        select login from (values
            ('scrip_projector', 'pg_advisory_lock(integer, integer)'),
            ('scrip_projector', 'pg_try_advisory_lock(integer, integer)'),
            ('scrip_projector', 'pg_advisory_unlock(integer, integer)'),
            ('scrip_writer', 'pg_try_advisory_lock(bigint)'),
            ('scrip_writer', 'pg_advisory_xact_lock(bigint)')
        ) needs (login, function) where to_regprocedure(needs.function) = p.oid)
    from pg_proc p
    where p.pronamespace = 'pg_catalog'::regnamespace and has_function_privilege('public', p.oid, 'execute') and (
        p.proname ~ '^pg_(try_)?advisory_'
        or p.proname ~ '^lo_' or p.proname in ('loread', 'lowrite')
        or p.proname in ('pg_notify', 'pg_logical_emit_message', 'pg_current_xact_id', 'txid_current')
        or p.proname in ('pg_terminate_backend', 'pg_cancel_backend', 'pg_export_snapshot')
        or p.proname ~ '^(query|cursor|table|schema|database)_to_xml'
        or p.proname = 'ts_stat' or (p.proname = 'ts_rewrite' and p.pronargs = 2))
$$;
revoke execute on function open_functions() from public;
grant execute on function open_functions() to scrip_auditor;  -- for `scrip doctor`

-- Take them, and the languages of functions, from everybody. It is called at each start, so that what a new version
-- of PostgreSQL brings is taken too. Only a superuser can: as another owner it does nothing, and `scrip doctor` tells.
create function close_functions() returns void set search_path = pg_catalog, pg_temp language plpgsql as $$
declare
    each record;
    login text;
begin
    if not (select rolsuper from pg_roles where rolname = current_user) then
        return;
    end if;
    for each in select * from public.open_functions() loop
        execute format('revoke execute on function %s from public', each.called);
        foreach login in array each.needed_by loop
            execute format('grant execute on function %s to %I', each.called, login);
        end loop;
    end loop;
    if has_language_privilege('public', 'sql', 'usage') or has_language_privilege('public', 'plpgsql', 'usage') then
        revoke usage on language sql, plpgsql from public;
    end if;
end $$;
revoke execute on function close_functions() from public;

-- Who sees which rows. Forced on every table with a column `org`: it holds for the tables' owner too, and only a
-- superuser, which no role of Scrip is, passes it by. Reading logins and what they see:
--   scrip_reader   the organisation in the setting `scrip.org` of its transaction, and nothing where none is set;
--   scrip_auditor  all organisations: verify, export, doctor, alerts, and what the API shows of the whole platform.
do $$
begin
    if not exists (select from pg_roles where rolname = 'scrip_auditor') then
        create role scrip_auditor login;
    end if;
end $$;

-- Every table with a column `org` passes here when it is made, whoever makes it. Policies say which rows, grants say
-- what may be done with them. `append_only`: no role may change or delete a row, not even with a grant.
create function protect_rows(target regclass, append_only boolean default false) returns void language plpgsql as $$
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format('create policy reads_own on %s for select to scrip_reader'
        ' using (org = current_setting(''scrip.org'', true))', target);
    execute format('create policy reads_all on %s for select'
        ' to scrip_auditor, scrip_relay, scrip_projector, scrip_writer using (true)', target);
    if append_only then
        execute format('create policy appends on %s for insert to scrip_writer with check (true)', target);
    else
        execute format('create policy changes on %s to scrip_writer, scrip_projector using (true) with check (true)',
            target);
    end if;
end $$;
revoke execute on function protect_rows from public;
grant execute on function protect_rows to scrip_projector;  -- it makes the tables of the read models

select protect_rows('events', append_only => true);
select protect_rows('commands', append_only => true);
select protect_rows('snapshots');
select protect_rows('subject_keys');
select protect_rows('api_keys');
select protect_rows('quarantine');

-- Keys of any kind, snapshots and sealed bodies are the writer's alone.
grant select on log, events, commands, read_generation, read_stops to scrip_auditor;
grant select (id, org, source, event_id, reason, detail, attempts, at, tried_at, resolved_at)
    on quarantine to scrip_auditor;
grant usage on schema read to scrip_auditor;

-- The read models that exist already; projections/generations.py does the same for those to come.
do $$
declare made regclass; named name;
begin
    for made in select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname ~ '^read_g[0-9]+$' and c.relkind = 'r' loop
        if exists (select from pg_attribute where attrelid = made and attname = 'org' and not attisdropped) then
            perform protect_rows(made);
        end if;
        execute format('grant select on %s to scrip_writer, scrip_reader, scrip_auditor', made);
    end loop;
    for made in select oid from pg_class where relnamespace = 'read'::regnamespace and relkind = 'v' loop
        execute format('alter view %s set (security_invoker = true)', made);
        execute format('grant select on %s to scrip_auditor', made);
        execute format('revoke select on %s from scrip_relay', made);
    end loop;
    for named in select nspname from pg_namespace where nspname ~ '^read_g[0-9]+$' loop
        execute format('grant usage on schema %s to scrip_writer, scrip_reader, scrip_auditor', named);
    end loop;
end $$;
revoke usage on schema read from scrip_relay;
revoke select on read_generation, read_stops from scrip_relay;

-- The projector owns the read models, which it makes and drops, and nothing here.
do $$
begin
    execute format('alter table read_generation owner to %I', current_user);
    execute format('alter table read_stops owner to %I', current_user);
    execute format('revoke temporary on database %I from public', current_database());
end $$;
grant select, insert, update on read_generation to scrip_projector;
grant select, insert, update, delete on read_stops to scrip_projector;
revoke create on schema public from public;

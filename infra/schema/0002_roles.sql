-- Who may do what in the database. Passwords are set by the deployment; roles are shared by a server's databases.
do $$
declare name text;
begin
    foreach name in array array['scrip_writer', 'scrip_relay', 'scrip_projector', 'scrip_reader'] loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I login', name);
        end if;
    end loop;
end $$;

grant select on log to scrip_writer, scrip_relay, scrip_projector, scrip_reader;
grant select, insert on events to scrip_writer;
grant select on events to scrip_relay, scrip_projector, scrip_reader;
grant select, insert on commands to scrip_writer;
grant select on commands to scrip_reader;
grant select, insert, update on snapshots to scrip_writer;
grant select, insert, delete on subject_keys to scrip_writer;
grant select, insert, update on api_keys to scrip_writer;
grant select, insert, update on quarantine to scrip_writer;

-- Who may only read sees the read models first: psql's \d lists them, and their names need no schema. The log's own
-- tables stay in the path.
comment on schema read is 'What is shown: one view for each read model. Each is rebuilt from the events of the log.';
do $$
begin
    execute format('alter role scrip_reader in database %I set search_path = read, public', current_database());
    execute format('alter role scrip_auditor in database %I set search_path = read, public', current_database());
end
$$;

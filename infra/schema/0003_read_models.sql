-- Read models live in generations: schema read_g{n} holds the tables of one, schema `read` shows the live one as views.
-- The projector owns them all; who reads gets the views and nothing else. The tables themselves are beside their
-- folds in projections/, and made by projections/generations.py.

do $$
begin
    execute format('grant create on database %I to scrip_projector', current_database());
end $$;

create schema read authorization scrip_projector;
grant usage on schema read to scrip_writer, scrip_reader, scrip_relay;

-- One row: the live generation, and the shape of its tables and folds (another shape needs a rebuild).
create table read_generation (
    live integer not null check (live > 0),
    shape text collate "C" not null,
    since timestamptz not null default clock_timestamp(),
    only_row boolean primary key default true check (only_row)
);
alter table read_generation owner to scrip_projector;
grant select on read_generation to scrip_writer, scrip_reader, scrip_relay;

-- Partitions whose next event cannot be applied, with the reason. A row goes when its partition goes on.
create table read_stops (
    partition smallint primary key,
    position bigint not null,
    reason text not null,
    at timestamptz not null default clock_timestamp()
);
alter table read_stops owner to scrip_projector;
grant select on read_stops to scrip_writer, scrip_reader, scrip_relay;

-- Tickets for live streams: a browser's EventSource sends no headers, and a login must not stand in an address. Each
-- opens one stream once, in whichever process it arrives. Only a hash is kept. Not in the write-ahead log: after a
-- crash a browser asks for another one.
create unlogged table stream_tickets (
    hash bytea primary key check (length(hash) = 32),
    org text collate "C" not null,
    sub text collate "C" not null,
    role text collate "C" not null,
    actor text collate "C" not null,
    scopes text[] collate "C",
    expires_at timestamptz not null
);
create index stream_tickets_end on stream_tickets (expires_at);
select protect_rows('stream_tickets');
grant select, insert, delete on stream_tickets to scrip_writer;

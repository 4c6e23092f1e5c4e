-- When callers asked for what is limited, as many times as the limit allows (S2: 10 requests per 60 s and user).
-- Not in the write-ahead log: after a crash the counts begin anew, which lets nobody generate for free.
create unlogged table request_rates (
    org text collate "C" not null,
    caller text collate "C" not null,
    hits timestamptz[] not null,
    primary key (org, caller)
) with (fillfactor = 50);
select protect_rows('request_rates');
grant select, insert, update, delete on request_rates to scrip_writer;

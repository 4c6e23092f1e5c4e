-- A lease whose row somebody deleted is made again by whoever wants to take it; otherwise nobody could, ever. It counts
-- from the time, so that its epochs are no earlier holder's.
create policy makes on leases for insert with check (true);  -- the owner alone has the right to insert
create function make_lease(wanted text) returns void language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.leases (name, epoch)
    select wanted, (extract(epoch from clock_timestamp()) * 1000000)::bigint where wanted in ('notifier', 'relay')
    on conflict do nothing;
end $$;
revoke execute on function make_lease from public;
grant execute on function make_lease to scrip_relay, scrip_writer;

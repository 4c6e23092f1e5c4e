-- A user's own alerts, newest first, however many the organisation has.
create index alerts_user on alerts (org, user_id, id) where user_id is not null;

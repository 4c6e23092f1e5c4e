"""The settings file and login rules of the embedded PostgreSQL, written anew at each start."""

from __future__ import annotations

# On the command line, where neither the file nor ALTER SYSTEM can weaken them (P-18).
COMMAND_LINE = tuple(
    part
    for setting in (
        "fsync=on",
        "full_page_writes=on",
        "synchronous_commit=on",
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
    )
    for part in ("-c", setting)
)

SETTINGS = """\
# Written at each start; changes are lost.
max_connections = 100
shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
min_wal_size = 160MB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
wal_level = replica
max_wal_senders = 4

# Tables that only grow are vacuumed too, so that index-only scans and freezing keep up with inserts.
autovacuum = on
autovacuum_max_workers = 2
autovacuum_naptime = 30s
autovacuum_vacuum_insert_threshold = 10000
autovacuum_vacuum_insert_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.05
# At a fifth of a processor, not at most of one: requests are waiting beside it.
autovacuum_vacuum_cost_delay = 10ms

log_destination = stderr
log_line_prefix = '%m [%p] %q%u@%d '
log_lock_waits = on
deadlock_timeout = 1s
log_min_duration_statement = 5s
log_checkpoints = off
log_timezone = UTC
timezone = UTC
datestyle = 'iso, ymd'
lc_messages = C

password_encryption = scram-sha-256
default_transaction_isolation = 'read committed'
# A client that vanished without a word must not keep its locks for hours.
tcp_keepalives_idle = 30
tcp_keepalives_interval = 10
tcp_keepalives_count = 3
# Anybody may notify, and what nobody reads is kept on the disk: 8 MB of it, not 8 GB.
max_notify_queue_pages = 1024
"""

HOST_RULES = """\
# Written at each start; changes are lost.
# type  database     user  address       method
host    all          all   127.0.0.1/32  scram-sha-256
host    replication  all   127.0.0.1/32  scram-sha-256
"""

"""PostgreSQL: how our sessions begin, the schema, the logins and their bounds, the lease, the check at the start."""

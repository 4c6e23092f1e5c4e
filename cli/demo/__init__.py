"""A simulated platform: users and generation workers that take the ledger through its whole flow."""

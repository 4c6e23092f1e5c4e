"""From `scrip.usage` to the ledger: every usage event is applied once or waits in quarantine with its reason."""

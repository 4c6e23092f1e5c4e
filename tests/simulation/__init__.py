"""Long random lives of the ledger, checked after every event."""

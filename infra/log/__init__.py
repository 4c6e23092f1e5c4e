"""The event log: its events, their bytes and hashes, and the SQL that stores and reads them."""

"""The one way into the log: commands wait in a queue and are decided and committed in batches."""

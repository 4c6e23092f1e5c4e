"""What may happen: events, states and the pure decisions between them. Standard library and `immutables` only."""

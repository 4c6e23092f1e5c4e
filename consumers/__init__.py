"""The Kafka edges: what is read from topics, and what is done with it."""

"""Kafka: how clients connect, the topics and what is on them, records, and what consumers have still to read."""

"""The notifier: alerts from the read models, their way to Kafka and to webhooks, and what was refused."""

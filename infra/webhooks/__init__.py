"""Webhooks: alerts delivered to addresses that organisations name, signed, retried and logged."""

"""Webhooks: signature, destinations, deliveries."""

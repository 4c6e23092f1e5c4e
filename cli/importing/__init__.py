"""Charging a usage file: its rows, their identity, and their way through `scrip.usage` to a charge or a refusal."""

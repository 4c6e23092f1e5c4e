"""Metrics, and what is made of them: dashboards and alert rules."""

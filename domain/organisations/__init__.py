"""Organisations (S3): their settings, and the plan that they are on."""

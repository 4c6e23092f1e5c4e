"""Calls that become commands."""

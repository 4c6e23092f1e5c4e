"""Credits: one file for each command."""

"""The Python client, against the real service and its own fake server."""

"""The `scrip` commands: for people at a terminal and, with `--json`, for programs."""

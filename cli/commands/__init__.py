"""One file per command. What is slow to import is imported inside the functions, so that `--help` answers at once."""

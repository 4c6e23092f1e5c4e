"""All other calls."""

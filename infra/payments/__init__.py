"""Who takes the money for purchases: a port, and the two providers that there are (S3)."""

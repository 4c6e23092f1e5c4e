"""Given, when, then for every decision of the domain."""

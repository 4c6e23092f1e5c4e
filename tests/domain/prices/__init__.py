"""Prices: the book, its versions and quotes."""

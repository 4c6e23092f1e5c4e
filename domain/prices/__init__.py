"""The price book (S4, S2): versioned prices by provider, model, operation and options, and quotes from it."""

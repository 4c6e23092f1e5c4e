"""Who is calling: signed tokens, API keys, and the principal that both become."""

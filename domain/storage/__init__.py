"""Storage (S0): how many bytes of generated content a user may keep, keeps, and holds for what is being made."""

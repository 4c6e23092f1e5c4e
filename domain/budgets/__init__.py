"""Budgets (S2): how much money a user may spend on generations in a calendar month."""

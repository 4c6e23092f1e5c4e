"""Credits (S4): grants, reservations, debits, refunds and transfers of one account."""

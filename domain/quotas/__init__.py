"""What storage, groups and budgets have in common: named amounts that are held, used and given back, in periods."""

"""Pages for administrators of groups, organisations, plans and prices."""

"""The main flow (S0, S4): may this user generate? What it takes is held, then settled or given back, at once."""

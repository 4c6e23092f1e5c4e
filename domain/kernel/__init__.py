"""What every decision stands on: what it sees and emits, how it is run, and the one object that says what there is."""

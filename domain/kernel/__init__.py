"""What every decision stands on: what it sees and emits, how it is run, what there is, and how holds are kept."""

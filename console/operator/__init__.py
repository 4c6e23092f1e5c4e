"""Pages for operators and auditors."""

"""The auditor finds whatever is not as it must be, and nothing else."""

"""The auditor's own check of everything that is stored, published and shown; it trusts nothing that the writers use."""

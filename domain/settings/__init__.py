"""Numbers that resources let their owners set: declared once, beside what they limit."""

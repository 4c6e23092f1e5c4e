"""What generations may need and organisations may limit: one module for each, all of them in `table.py`."""

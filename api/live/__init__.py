"""Live streams: one reader of the log for all who listen in this process, and what each of them may see."""

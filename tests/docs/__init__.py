"""The documentation: every code block runs, no page is stale, and the site builds."""

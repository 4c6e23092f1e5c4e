"""The console: pages for users, admins, operators and auditors. It knows Scrip by HTTP alone."""

"""Prepared statements by libpq's own functions, for the few that nearly every request takes.

psycopg's cursors convert arguments of any type, find out anew what each result holds, and in a pipeline send each
statement by itself. The ledger's statements are known beforehand; without all that they cost half as much.
"""

"""The resources by name, for tests; tests/domain/resources/test_table.py compares them with the table."""

from enum import StrEnum


class Resource(StrEnum):
    """What an organisation may have checked, in the order of its settings."""

    CREDITS = "credits"
    TOKENS = "tokens"
    STORAGE = "storage"
    GROUPS = "groups"
    BUDGET = "budget"
    PLAN = "plan"
    RUNNING = "running"

"""All routes, in the order in which paths are matched."""

from fastapi.routing import APIRoute

from api.commands import OPERATIONS
from api.routes import (
    accounts,
    audit,
    batch,
    documents,
    entities,
    events,
    health,
    keys,
    me,
    prices,
    quarantine,
    statement,
    transactions,
)
from api.routing import CommandRoute
from api.services import Services


def all_routes(services: Services) -> list[APIRoute]:
    """Every route of the API; the commands come first because they are the busiest."""
    routes: list[APIRoute] = [CommandRoute(operation, services) for operation in OPERATIONS]
    for module in (
        accounts,
        entities,
        transactions,
        statement,
        batch,
        prices,
        me,
        keys,
        events,
        audit,
        quarantine,
        health,
        documents,
    ):
        routes += module.routes(services)
    return routes

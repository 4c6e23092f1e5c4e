"""All routes, in the order in which paths are matched."""

from fastapi.routing import APIRoute

from api.commands import OPERATIONS
from api.routes import (
    accounts,
    alerts,
    analytics,
    audit,
    batch,
    budget_analytics,
    budgets,
    contents,
    documents,
    entities,
    events,
    explain,
    forecasts,
    generations,
    groups,
    health,
    keys,
    me,
    organisations,
    payments,
    plans,
    prices,
    purchases,
    quarantine,
    statement,
    storage,
    tokens,
    transactions,
    users,
    webhooks,
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
        generations,
        explain,
        contents,
        storage,
        groups,
        budgets,
        budget_analytics,
        tokens,
        prices,
        plans,
        forecasts,  # before organisations: at-risk is none
        organisations,
        purchases,
        payments,
        users,
        analytics,
        me,
        keys,
        events,
        audit,
        quarantine,
        alerts,
        webhooks,
        health,
        documents,
    ):
        routes += module.routes(services)
    return routes

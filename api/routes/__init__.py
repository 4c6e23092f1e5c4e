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
    expirations,
    explain,
    forecasts,
    generations,
    group_preview,
    group_report,
    groups,
    health,
    keys,
    me,
    operations,
    organisations,
    payments,
    plans,
    price_preview,
    prices,
    proof,
    purchases,
    quarantine,
    rebuilds,
    search,
    settings,
    storage,
    stream,
    tokens,
    transactions,
    user_usage,
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
        expirations,
        transactions,
        batch,
        generations,
        explain,
        contents,
        storage,
        groups,
        group_preview,
        budgets,
        budget_analytics,
        tokens,
        prices,
        price_preview,
        plans,
        forecasts,  # before organisations: at-risk is none
        organisations,
        purchases,
        payments,
        users,
        settings,
        search,
        analytics,
        group_report,
        user_usage,
        me,
        keys,
        events,
        stream,
        audit,
        proof,
        quarantine,
        rebuilds,
        operations,
        alerts,
        webhooks,
        health,
        documents,
    ):
        routes += module.routes(services)
    return routes

"""Every endpoint of the API: what the modules of its subjects declare."""

from collections.abc import Iterator
from types import ModuleType

from api.commands import accounts as accounts_commands
from api.commands import alert_rules as alert_rules_commands
from api.commands import budgets as budgets_commands
from api.commands import contents as contents_commands
from api.commands import debits as debits_commands
from api.commands import generations as generations_commands
from api.commands import grants as grants_commands
from api.commands import groups as groups_commands
from api.commands import me as me_commands
from api.commands import organisations as organisations_commands
from api.commands import plans as plans_commands
from api.commands import prices as prices_commands
from api.commands import purchases as purchases_commands
from api.commands import reservations as reservations_commands
from api.commands import settings as settings_commands
from api.commands import settlements as settlements_commands
from api.commands import storage as storage_commands
from api.commands import tokens as tokens_commands
from api.http.endpoint import Endpoint
from api.routes import (
    accounts,
    alerts,
    analytics,
    audit,
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


def _declared(*modules: ModuleType) -> Iterator[Endpoint]:
    for module in modules:
        for name, value in vars(module).items():
            if not name.startswith("_"):
                values = value if isinstance(value, tuple) else (value,)
                yield from (each for each in values if isinstance(each, Endpoint))


DECLARED = tuple(
    _declared(
        accounts_commands,
        alert_rules_commands,
        budgets_commands,
        contents_commands,
        debits_commands,
        generations_commands,
        grants_commands,
        groups_commands,
        me_commands,
        organisations_commands,
        plans_commands,
        prices_commands,
        purchases_commands,
        reservations_commands,
        settings_commands,
        settlements_commands,
        storage_commands,
        tokens_commands,
        accounts,
        alerts,
        analytics,
        audit,
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
)

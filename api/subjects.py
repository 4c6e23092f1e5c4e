"""Every endpoint but the batch, which runs commands among them: what the modules of the API's subjects declare."""

from collections.abc import Iterator
from types import ModuleType

from api.accounts import commands as accounts_commands
from api.accounts import reads as accounts_reads
from api.alerts import rules, webhooks
from api.budgets import commands as budgets_commands
from api.budgets import reads as budgets_reads
from api.generations import commands as generations_commands
from api.generations import explain, storage
from api.generations import reads as generations_reads
from api.groups import commands as groups_commands
from api.groups import reads as groups_reads
from api.http import documents
from api.http.endpoint import Endpoint
from api.log import audit, stream
from api.log import reads as log_reads
from api.operator import figures, health
from api.plans import catalogue, forecasts, organisations, purchases, tokens
from api.prices import commands as prices_commands
from api.prices import reads as prices_reads
from api.users import analytics, keys, me, settings
from api.users import reads as users_reads


def _declared(*modules: ModuleType) -> Iterator[Endpoint]:
    for module in modules:
        for name, value in vars(module).items():
            if not name.startswith("_"):
                values = value if isinstance(value, tuple) else (value,)
                yield from (each for each in values if isinstance(each, Endpoint))


# Of paths that are alike, those of a subject further up are tried first: the busiest stand first.
DECLARED = tuple(
    _declared(
        *(generations_commands, generations_reads, explain, storage, accounts_commands, accounts_reads),
        *(groups_commands, groups_reads, budgets_commands, budgets_reads, prices_commands, prices_reads),
        *(catalogue, tokens, purchases, forecasts, organisations, users_reads, me, keys, settings, analytics),
        *(rules, webhooks, log_reads, audit, stream, figures, health, documents),
    )
)

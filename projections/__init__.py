"""What readers see: one module for each read model, a pure fold of events into rows, with its table beside it."""

from typing import Any

from projections.balances import BALANCES
from projections.budgets import BUDGETS, COSTS
from projections.catalogue import CATALOGUE, PRICES, PURCHASES
from projections.contents import CONTENTS, STORAGES
from projections.debits import DEBITS
from projections.generations import GENERATIONS, REFUSALS
from projections.grants import GRANTS
from projections.groups import GROUP_USAGE, GROUPS, MEMBERS
from projections.organisations import ORGANISATIONS, SETTINGS
from projections.read_model import ReadModel
from projections.reservations import RESERVATIONS
from projections.transactions import TRANSACTIONS
from projections.usage import TOKEN_USAGE, USAGE
from projections.use_holds import USE_HOLDS

READ_MODELS: tuple[ReadModel[Any], ...] = (
    ORGANISATIONS,
    GENERATIONS,
    RESERVATIONS,
    TRANSACTIONS,
    BALANCES,
    GRANTS,
    DEBITS,
    TOKEN_USAGE,
    USAGE,
    COSTS,
    REFUSALS,
    STORAGES,
    SETTINGS,
    GROUPS,
    BUDGETS,
    USE_HOLDS,
    GROUP_USAGE,
    CONTENTS,
    MEMBERS,
    PURCHASES,
    PRICES,
    CATALOGUE,
)

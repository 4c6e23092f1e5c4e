"""What readers see: one module for each read model, a pure fold of events into rows, with its table beside it."""

from typing import Any

from projections.balances import BALANCES
from projections.budgets import BUDGETS
from projections.catalogue import CATALOGUE
from projections.contents import CONTENTS
from projections.costs import COSTS
from projections.debits import DEBITS
from projections.generations import GENERATIONS
from projections.grants import GRANTS
from projections.group_usage import GROUP_USAGE
from projections.groups import GROUPS
from projections.members import MEMBERS
from projections.organisations import ORGANISATIONS
from projections.prices import PRICES
from projections.purchases import PURCHASES
from projections.read_model import ReadModel
from projections.refusals import REFUSALS
from projections.reservations import RESERVATIONS
from projections.settings import SETTINGS
from projections.storages import STORAGES
from projections.token_usage import TOKEN_USAGE
from projections.transactions import TRANSACTIONS
from projections.usage import USAGE
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

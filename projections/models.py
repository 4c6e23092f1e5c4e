"""All read models of one partition in memory: rows that are loaded, changed, added, and amounts to be added up."""

from typing import Any

from projections import (
    balances,
    budgets,
    catalogue,
    contents,
    costs,
    debits,
    generations,
    grants,
    group_usage,
    groups,
    members,
    organisations,
    prices,
    purchases,
    refusals,
    reservations,
    storages,
    token_usage,
    transactions,
    usage,
    use_holds,
)
from projections.facts import CannotApply, Fact
from projections.rows import Key, Log, Rows, Sums


class ReadModels:
    """Rows of one partition in memory, and which of them changed since `written` was last called.

    `rebuilding`: rows that have ended are written at once and never read back, so that events about them are kept
    in `later`, to be folded when everything else is there.
    """

    def __init__(self, *, rebuilding: bool = False) -> None:
        self.balances = Rows(balances.BALANCES.table)
        self.grants = Rows(grants.GRANTS.table)
        self.reservations = Rows(reservations.RESERVATIONS.table, self._has_ended)
        self.generations = Rows(generations.GENERATIONS.table, lambda row: row.status in generations.ENDED)
        self.use_holds = Rows(use_holds.USE_HOLDS.table)
        self.storages = Rows(storages.STORAGES.table)
        self.contents = Rows(contents.CONTENTS.table, lambda _row: True)
        self.groups = Rows(groups.GROUPS.table)
        self.members = Rows(members.MEMBERS.table, lambda _row: not rebuilding)
        self.budgets = Rows(budgets.BUDGETS.table)
        self.organisations = Rows(organisations.ORGANISATIONS.table)
        self.debits = Rows(debits.DEBITS.table, lambda _row: True)
        self.purchases = Rows(purchases.PURCHASES.table)
        self.prices = Log(prices.PRICES.table)
        self.catalogue = Log(catalogue.CATALOGUE.table)
        self.transactions = Log(transactions.TRANSACTIONS.table)
        self.refusals = Log(refusals.REFUSALS.table)
        self.costs = Log(costs.COSTS.table)
        self.token_usage = Log(token_usage.TOKEN_USAGE.table)
        self.usage = Sums(usage.USAGE.table)
        self.group_usage = Sums(group_usage.GROUP_USAGE.table)
        self.rows: tuple[Rows[Any], ...] = tuple(value for value in vars(self).values() if isinstance(value, Rows))
        self.logs: tuple[Log[Any], ...] = tuple(value for value in vars(self).values() if isinstance(value, Log))
        self.sums: tuple[Sums, ...] = tuple(value for value in vars(self).values() if isinstance(value, Sums))
        self.later: list[Fact] | None = [] if rebuilding else None

    def _has_ended(self, hold: reservations.Reservation) -> bool:
        """Whether a hold cannot go on: one of an open generation may, after all of it was charged."""
        if hold.status == reservations.HELD or not hold.generation:
            return hold.status != reservations.HELD
        generation = self.generations.get((hold.org, hold.id))
        return generation is None or generation.status not in generations.OPEN

    def missing(self, fact: Fact, what: str) -> None:
        """The row that `fact` is about is not in memory. Raises CannotApply unless it may have been written before."""
        if self.later is None:
            raise CannotApply(fact.partition, fact.position, f"the {what} is unknown")
        self.later.append(fact)

    def written(self) -> None:
        """Everything that changed is stored now: what has ended is let go."""
        for rows in self.rows:
            rows.written()
        for log in self.logs:
            log.clear()
        if self.later is None:  # a rebuild takes the sums of a quarter when it is over
            for sums in self.sums:
                sums.clear()

    def __len__(self) -> int:
        """How many rows are held in memory."""
        return sum(map(len, self.rows))


class Needed:
    """The keys of stored rows that facts need and that are not in memory, by table."""

    def __init__(self, models: ReadModels) -> None:
        self.models = models
        self.keys: dict[str, set[Key]] = {rows.table.name: set() for rows in models.rows}

    def row(self, rows: Rows[Any], key: Key) -> None:
        """Need a row, if it exists."""
        if key not in rows:
            self.keys[rows.table.name].add(key)

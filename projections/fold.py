"""The fold of a partition's events into all read models: which rows they need, and what becomes of them. Pure."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from projections import (
    account_fold,
    catalogue,
    generation_fold,
    organisations,
    prices,
    purchases,
    use_fold,
)
from projections.facts import CannotApply, Fact
from projections.models import Needed, ReadModels

FOLD = 3  # raised whenever the same events would give other rows: tells older generations from those of this code


class Kind(NamedTuple):
    """One kind of stream: the stored rows that an event needs, and the fold of it into them."""

    need: Callable[[Needed, Fact], None]
    fold: Callable[[ReadModels, Fact], None]


def _need_nothing(_needed: Needed, _fact: Fact) -> None:
    """Everything that an event needs is in it."""


def _need_purchase(needed: Needed, fact: Fact) -> None:
    needed.row(needed.models.purchases, (fact.org, fact.id))


def _purchase(models: ReadModels, fact: Fact) -> None:
    key = (fact.org, fact.id)
    models.purchases.put(key, purchases.apply(models.purchases.get(key), fact, fact.event))


def _organisation(models: ReadModels, fact: Fact) -> None:
    row = models.organisations[fact.org,]
    organisations.apply(row, fact, fact.event)
    models.organisations.put((fact.org,), row)


def _prices(models: ReadModels, fact: Fact) -> None:
    if fact.org == prices.PLATFORM:
        models.prices.append(prices.published(fact, fact.event))


def _catalogue(models: ReadModels, fact: Fact) -> None:
    if fact.org == prices.PLATFORM:
        models.catalogue.append(catalogue.published(fact, fact.event))


KINDS: dict[str, Kind] = {  # by the start of a stream's name; what is not here has no read model (memberships)
    "account": Kind(account_fold.need, account_fold.fold),
    "generation": Kind(generation_fold.need, generation_fold.fold),
    "storage": Kind(use_fold.need_storage, use_fold.fold_storage),
    "group": Kind(use_fold.need_group, use_fold.fold_group),
    "budget": Kind(use_fold.need_budget, use_fold.fold_budget),
    "organisation": Kind(_need_nothing, _organisation),
    "purchase": Kind(_need_purchase, _purchase),
    "prices": Kind(_need_nothing, _prices),
    "plans": Kind(_need_nothing, _catalogue),
}
_LATER = KINDS | {
    "storage": Kind(use_fold.need_storage, use_fold.fold_content),
    "account": Kind(account_fold.need, account_fold.fold_refund),
}
_PLATFORMS = frozenset({"prices", "plans"})  # streams that make no organisation


def needs(models: ReadModels, facts: Iterable[Fact]) -> Needed:
    """The keys of stored rows that facts need and `models` does not have in memory."""
    needed = Needed(models)
    for fact in facts:
        kind = KINDS.get(fact.kind)
        if kind is not None:
            kind.need(needed, fact)
        needed.row(models.organisations, (fact.org,))
    return needed


def fold(models: ReadModels, facts: Iterable[Fact]) -> None:
    """Fold events, in the order of their positions, into rows.

    Raises CannotApply at the first one that cannot be; `models` is then half done and must be thrown away.
    """
    known = models.organisations
    for fact in facts:
        if (fact.org,) not in known and fact.kind not in _PLATFORMS:
            known.begin((fact.org,), organisations.opened(fact))
        kind = KINDS.get(fact.kind)
        if kind is not None:
            _fold(kind, models, fact)


def fold_later(models: ReadModels, facts: Iterable[Fact]) -> None:
    """Fold events that a rebuild kept for later, where all else that they do was done before. Raises CannotApply."""
    for fact in facts:
        _fold(_LATER[fact.kind], models, fact)


def _fold(kind: Kind, models: ReadModels, fact: Fact) -> None:
    try:
        kind.fold(models, fact)
    except (ValueError, TypeError, AttributeError, AssertionError) as error:  # no address, or an event of other streams
        raise CannotApply(fact.partition, fact.position, str(error)) from error

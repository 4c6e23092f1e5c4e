"""The tables to read first: how each command and question is handled, and how each kind of stream is folded."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from domain.budgets import handlers as budget_handlers
from domain.budgets import state as budgets
from domain.credits import account as accounts
from domain.credits import due as accounts_due
from domain.credits import handlers as credit_handlers
from domain.credits.address import STREAM_PREFIX
from domain.execution import Answerer, Handler, StreamKind
from domain.generations import handlers as generation_handlers
from domain.generations import state as generations
from domain.groups import handlers as group_handlers
from domain.groups import state as groups
from domain.organisations import handlers as organisation_handlers
from domain.organisations import state as organisations
from domain.periods import NEVER
from domain.plans import handlers as plan_handlers
from domain.plans import state as plans
from domain.prices import book as price_book
from domain.prices import handlers as price_handlers
from domain.quotas import quota as quotas
from domain.quotas.events import UseExpired
from domain.storage import handlers as storage_handlers
from domain.storage import state as storage


@dataclass(frozen=True, slots=True, kw_only=True)
class LetTimePass:
    """Write what is due on a stream, and on those that share something with it, and nothing else: the sweeper's."""

    stream: str


HANDLERS: dict[type, Handler] = {
    LetTimePass: Handler(lambda command: (command.stream,), lambda _view, _command, _now: ()),
    **credit_handlers.HANDLERS,
    **price_handlers.HANDLERS,
    **storage_handlers.HANDLERS,
    **group_handlers.HANDLERS,
    **budget_handlers.HANDLERS,
    **organisation_handlers.HANDLERS,
    **plan_handlers.HANDLERS,
    **generation_handlers.HANDLERS,
}

# Questions are answered from current states without a lock; nothing is written.
ANSWERERS: dict[type, Answerer] = {
    **storage_handlers.ANSWERERS,
    **group_handlers.ANSWERERS,
    **budget_handlers.ANSWERERS,
    **organisation_handlers.ANSWERERS,
    **plan_handlers.ANSWERERS,
    **generation_handlers.ANSWERERS,
}


def _quota(initial: Any, evolve: Callable[[Any, Any], Any]) -> StreamKind:
    """The kind of a stream whose state has a `quota`."""
    return StreamKind(
        initial=initial,
        evolve=evolve,
        next_due=lambda state: state.quota.next_due,
        due=lambda state, now: quotas.due(state.quota, now),
        refresh=lambda state: state._replace(quota=quotas.refresh(state.quota)),
        entries=lambda state: len(state.quota.holds) + len(getattr(state, "members", ())),
        schema=1,
        together=lambda event, _state: (
            (generations.stream_of(event.generation_id),) if isinstance(event, UseExpired) else ()
        ),
    )


def _timeless(
    initial: Any, evolve: Callable[[Any, Any], Any], entries: Callable[[Any], int], schema: int = 1
) -> StreamKind:
    """The kind of a stream to which time does nothing."""
    return StreamKind(
        initial=initial,
        evolve=evolve,
        next_due=lambda _state: NEVER,
        due=lambda _state, _now: (),
        refresh=lambda state: state,
        entries=entries,
        schema=schema,
    )


KINDS: dict[str, StreamKind] = {  # by the start of a stream's name, or the whole of it
    STREAM_PREFIX: StreamKind(
        initial=accounts.Account(),
        evolve=accounts.evolve,
        next_due=lambda account: account.next_due,
        due=accounts_due.due,
        refresh=accounts_due.refresh,
        entries=lambda account: len(account.holds) + len(account.grants) + len(account.scheduled),
        schema=2,
        together=accounts_due.siblings,
    ),
    generations.PREFIX: StreamKind(
        initial=generations.Generation(),
        evolve=generations.evolve,
        next_due=lambda generation: generation.next_due,
        due=generations.due,
        refresh=lambda generation: generation,
        entries=lambda _generation: 1,
        schema=2,  # since parts are counted
        together=generations.siblings,
    ),
    storage.PREFIX: _quota(storage.Storage(), storage.evolve),
    groups.PREFIX: _quota(groups.Group(), groups.evolve),
    budgets.PREFIX: _quota(budgets.Budget(), budgets.evolve),
    groups.MEMBERSHIPS: _timeless(groups.Memberships(), groups.evolve_memberships, lambda state: len(state.groups)),
    organisations.STREAM: StreamKind(
        initial=organisations.Organisation(),
        evolve=organisations.evolve,
        next_due=lambda organisation: organisation.next_due,
        due=organisations.due,
        refresh=lambda organisation: organisation,
        entries=lambda _organisation: 1,
        schema=1,
    ),
    plans.PURCHASE_PREFIX: _timeless(plans.Purchase(), plans.evolve_purchase, lambda _purchase: 1),
    # Schema 2: the first features, with which every fold begins, have one more.
    plans.STREAM: _timeless(plans.Catalogue(), plans.evolve, lambda catalogue: len(catalogue.features), schema=2),
    price_book.STREAM: _timeless(
        price_book.PriceBook(), price_book.evolve, lambda book: sum(len(version.entries) for version in book.versions)
    ),
}


@lru_cache(maxsize=65_536)  # asked some twenty times for one generation
def kind_of(stream: str) -> StreamKind:
    """The kind of a stream, by the start of its name. Raises KeyError for a stream that the code does not know."""
    start, slash, _ = stream.partition("/")
    return KINDS[start + slash]

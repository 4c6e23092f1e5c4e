"""The fold of a generation's events into the read models about generations. Pure."""

from domain.generations.events import (
    GenerationEvent,
    GenerationHeld,
    GenerationRefunded,
    GenerationRefused,
    GenerationSettledLate,
    Settled,
)
from domain.resources.budget import BUDGET
from projections import costs, generation_rows, refusals, usage
from projections.facts import Fact
from projections.models import Needed, ReadModels


def need(needed: Needed, fact: Fact) -> None:
    """Name the stored rows that an event needs."""
    if fact.version > 1:
        needed.row(needed.models.generations, (fact.org, fact.id))


def fold(models: ReadModels, fact: Fact) -> None:
    """Fold one event. Raises CannotApply where it does not fit."""
    event: GenerationEvent = fact.event
    key = (fact.org, fact.id)
    row = models.generations.get(key)
    begins = isinstance(event, GenerationHeld | GenerationRefused)
    if row is None and (fact.version > 1 or not begins):
        models.missing(fact, "generation")
    elif isinstance(event, GenerationHeld | GenerationRefused):
        asked = generation_rows.asked(fact, event, row)
        if row is None:
            models.generations.begin(key, asked)
        else:
            models.generations.put(key, asked)
        if isinstance(event, GenerationRefused):
            models.refusals.append(refusals.refused(fact, event))
            models.usage.add(usage.ended(fact, asked))
    elif row is not None:
        if isinstance(event, GenerationSettledLate):
            models.usage.add(usage.taken_back(fact, row))
        generation_rows.apply(row, fact, event)
        models.generations.put(key, row)
        _effects(models, fact, event, row)


def _effects(models: ReadModels, fact: Fact, event: GenerationEvent, row: generation_rows.GenerationRow) -> None:
    if isinstance(event, GenerationRefunded):
        usd = generation_rows.by_resource(event.returned).get(BUDGET.name, 0)
        if usd:
            models.usage.add(usage.money_back(fact, row, usd))
            models.costs.append(costs.refunded(fact, row, usd))
        return
    if isinstance(event, Settled):
        models.usage.add(usage.settled(fact, row, event))
    elif row.status not in generation_rows.OPEN:
        models.usage.add(usage.ended(fact, row))
    if row.status not in generation_rows.OPEN:
        # What parts have spent was noted when it expired, where it is completed late.
        usd = event.usd if isinstance(event, GenerationSettledLate) else row.charged_usd
        if usd or (row.quoted_usd and row.status in costs.ATTEMPTS):
            models.costs.append(costs.generated(fact, row, usd))

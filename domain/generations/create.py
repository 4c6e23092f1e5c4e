"""Hold everything that a generation needs in one decision, or nothing of it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from domain.credits.address import reservation_tag
from domain.credits.refusals import AlreadyExists
from domain.generations.assess import assess
from domain.generations.assessment import Assessment
from domain.generations.events import GenerationHeld, GenerationRefused
from domain.generations.refusals import ResourcesBusy, ResourcesShort, UnknownParent
from domain.generations.request import Request
from domain.generations.state import Status, generation_of, stream_of
from domain.generations.told import sentences, told
from domain.kernel.work import Work
from domain.refusal import RefusedWith
from domain.resources.resource import HoldTerms
from domain.resources.table import table

DEFAULT_TTL_S = 900
MAX_TTL_S = 604_800


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGeneration:
    """`ttl_s` 1 to 604,800. With `own_id` the caller chose the id, which must then be unused or have been refused."""

    generation_id: str
    request: Request
    ttl_s: int = DEFAULT_TTL_S
    own_id: bool = False
    parent_id: str | None = None
    sealed: str | None = None


def create(work: Work, command: CreateGeneration) -> None:
    """All that applies is held in one commit (contract, "Generations").

    Raises AlreadyExists, UnknownParent, what `assess` and `Resource.hold` raise, ResourcesBusy, and RefusedWith
    ResourcesShort: the refusal is a fact on the generation's own stream.
    """
    _new(work, command)
    assessment = assess(work, command.request)
    stream = stream_of(command.generation_id)
    if not assessment.ok:
        first = next(check for check in assessment.checks if not check.ok and check.reason == assessment.reason)
        sentence = sentences(table(work), assessment.checks, assessment.reason)
        if table(work).by_name[first.resource].transient:
            asked = {"user_id": command.request.user, "operation": command.request.operation, "model": assessment.model}
            raise ResourcesBusy(assessment.reason, sentence, told(assessment), asked)
        refused = GenerationRefused(
            **_described(command, assessment), reason=assessment.reason, checks=tuple(assessment.checks)
        )
        work.emit(stream, refused)
        raise RefusedWith(ResourcesShort(assessment.reason, sentence, told(assessment)))
    expires_at = work.now + timedelta(seconds=command.ttl_s)
    event = GenerationHeld(
        **_described(command, assessment), expires_at=expires_at, holds=tuple(assessment.holds), sealed=command.sealed
    )
    work.emit(stream, event)
    resources, quote = table(work), event.quote
    terms = HoldTerms(command.generation_id, expires_at, quote.item, quote.price_version)
    for held in assessment.holds:
        resources.by_name[held.resource].begin(work, held)
    for held in assessment.holds:
        resources.by_name[held.resource].hold(work, held, terms)


def _new(work: Work, command: CreateGeneration) -> None:
    if command.own_id:
        known = generation_of(work, command.generation_id)
        used = known.status not in (Status.UNKNOWN, Status.REFUSED)
        if used or work.events(reservation_tag(command.generation_id)):
            raise AlreadyExists(field="id", value=command.generation_id)
    if command.parent_id is not None:
        parent = generation_of(work, command.parent_id)
        if parent.asked is None or parent.asked.user != command.request.user:
            raise UnknownParent(value=command.parent_id)


def _described(command: CreateGeneration, assessment: Assessment) -> dict[str, Any]:
    """The fields of `Described`; provider and model as the price book spells them, so that reports have one name."""
    request = command.request
    return {
        "generation_id": command.generation_id,
        "user": request.user,
        "operation": request.operation,
        "provider": assessment.provider,
        "model": assessment.model,
        "options": request.options,
        "count": assessment.count,
        "feature": request.feature,
        "parent_id": command.parent_id,
        "quote": assessment.quoted(),
    }

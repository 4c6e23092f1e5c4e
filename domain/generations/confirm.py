"""Settle a generation that succeeded, whole or in part, with what it really cost."""

from dataclasses import dataclass, field

from domain.credits.refusals import AlreadyExists
from domain.generations.events import (
    GenerationCompleted,
    GenerationPartCompleted,
    GenerationSettledLate,
)
from domain.generations.refusals import InvalidSettlement
from domain.generations.rules import known, not_started, open_one
from domain.generations.settlement import NOTHING_REPORTED, Reported, check_reported, successful
from domain.generations.state import MAX_PARTS, Status, stream_of
from domain.kernel.work import Work
from domain.resources.table import table
from domain.storage.state import content_tag


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmGeneration:
    """With `final` what is left of the holds goes back, without it further parts may follow.

    `unstarted`: only where no worker has started it (a user who settles their own hold; contract, `credits/me`).
    `sealed` is the description of the work, `sealed_urls` each content's URL, by its id.
    """

    generation_id: str
    reported: Reported = NOTHING_REPORTED
    final: bool = True
    unstarted: bool = False
    sealed: str | None = None
    sealed_urls: dict[str, str | None] = field(default_factory=dict)


def confirm(work: Work, command: ConfirmGeneration) -> None:
    """Charge what it cost, store what it made, give the rest back.

    A worker's completion after expiry is charged from what is available (contract, "late").
    Raises NoSuchGeneration, GenerationEnded, AlreadyStarted, InvalidSettlement, AlreadyExists (a content's id),
    Unpriced (usage without a rate), TotalTooLarge.
    """
    place = work.mark()
    if command.unstarted:
        not_started(work, command.generation_id)
    generation, asked = known(work, command.generation_id)
    late = generation.status is Status.EXPIRED
    if not late:
        open_one(work, command.generation_id)
    check_reported(command.reported)
    if not late and not command.final and generation.parts >= MAX_PARTS:
        reason = f"must be true: a generation is settled in at most {MAX_PARTS} parts"
        raise InvalidSettlement(field="final", reason=reason, limit=MAX_PARTS)
    _new_contents(work, command.reported)
    settlement = successful(work, generation, asked, command.reported, final=late or command.final)
    settlement.sealed_urls = command.sealed_urls
    for each in table(work).settling:
        if late:
            each.settle_late(settlement)
        else:
            each.settle(settlement)
    fields = settlement.fields(succeeded=settlement.succeeded, sealed=command.sealed)
    # Its own event comes before what it moved, of which it tells.
    stream = stream_of(command.generation_id)
    if late:
        work.emit(stream, GenerationSettledLate(**fields), at=place)
    elif command.final:
        work.emit(stream, GenerationCompleted(**fields), at=place)
    else:
        work.emit(stream, GenerationPartCompleted(**fields, holds=tuple(settlement.holds)), at=place)


def _new_contents(work: Work, reported: Reported) -> None:
    ids = [content.id for content in reported.contents]
    if len(set(ids)) < len(ids):
        raise InvalidSettlement(field="contents", reason="each id may be named once")
    for content_id in ids:
        if work.events(content_tag(content_id)):
            raise AlreadyExists(field="contents.id", value=content_id)

"""The commands on a generation that is held: start, cancel, confirm, extend, fail.

`create` and `refund` have files of their own.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from domain.bounds import within
from domain.credits.refusals import AlreadyExists
from domain.generations.events import (
    Charge,
    GenerationCancelled,
    GenerationCompleted,
    GenerationExtended,
    GenerationFailed,
    GenerationHeld,
    GenerationPartCompleted,
    GenerationSettledLate,
    GenerationStarted,
    Held,
)
from domain.generations.refusals import AlreadyStarted, GenerationEnded, InvalidSettlement, NoSuchGeneration
from domain.generations.settlement import NOTHING_REPORTED, Reported, Settlement, check_reported, successful
from domain.generations.state import MAX_PARTS, Generation, Status, generation_of, stream_of
from domain.kernel.work import Work
from domain.organisations.events import Outcome
from domain.organisations.state import organisation_of
from domain.resources.account import AccountResource
from domain.resources.resource import HoldTerms
from domain.resources.table import Resources, table
from domain.storage.state import content_tag


def known(work: Work, generation_id: str) -> tuple[Generation, GenerationHeld]:
    """The generation and what was asked for. Raises NoSuchGeneration."""
    generation = generation_of(work, generation_id)
    if generation.asked is None:
        raise NoSuchGeneration(generation_id=generation_id)
    return generation, generation.asked


def open_one(work: Work, generation_id: str) -> tuple[Generation, GenerationHeld]:
    """A generation that still holds what it may take. Raises NoSuchGeneration, GenerationEnded."""
    generation, asked = known(work, generation_id)
    if not generation.open:
        raise GenerationEnded(generation_id=generation_id, status=generation.status.value)
    return generation, asked


def not_started(work: Work, generation_id: str) -> tuple[Generation, GenerationHeld]:
    """One that no worker has started. Raises NoSuchGeneration, GenerationEnded, AlreadyStarted."""
    generation, asked = open_one(work, generation_id)
    if generation.status is not Status.HELD:
        raise AlreadyStarted(generation_id=generation_id)
    return generation, asked


def streams_of(work: Work, generation_id: str, *, growing: bool = False) -> tuple[str, ...]:
    """Every stream that settling or `growing` the generation may touch: its holds and charges, and who pays more."""
    generation = generation_of(work, generation_id)
    if generation.asked is None:
        return ()
    streams = [held.stream for held in generation.holds]
    streams += [charge.stream for charge in generation.charges]
    for each in table(work).main:
        streams += each.settling_streams(work, generation.asked.user, growing=growing)
    return tuple(dict.fromkeys(streams))


@dataclass(frozen=True, slots=True, kw_only=True)
class StartGeneration:
    """From now on only the outcome ends it."""

    generation_id: str


def start(work: Work, command: StartGeneration) -> None:
    """Raises NoSuchGeneration, GenerationEnded, AlreadyStarted."""
    not_started(work, command.generation_id)
    work.emit(stream_of(command.generation_id), GenerationStarted(generation_id=command.generation_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelGeneration:
    """Everything goes back."""

    generation_id: str
    sealed: str | None = None


def cancel(work: Work, command: CancelGeneration) -> None:
    """Raises NoSuchGeneration, GenerationEnded, AlreadyStarted."""
    generation, _ = not_started(work, command.generation_id)
    cancelled = GenerationCancelled(generation_id=command.generation_id, sealed=command.sealed)
    work.emit(stream_of(command.generation_id), cancelled)
    for held in generation.holds:
        table(work).by_name[held.resource].release(work, held, command.generation_id)


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
    # The generation's own event comes before the events of its resources, which it sums up.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendGeneration:
    """`ttl_s` 1 to 604,800 seconds from now; `grow` further credits (tokens where it costs tokens), 0 for none."""

    generation_id: str
    ttl_s: int
    grow: int = 0


def extend(work: Work, command: ExtendGeneration) -> None:
    """All holds get the same later end, never an earlier one.

    Raises NoSuchGeneration, GenerationEnded, InsufficientCredits, InsufficientTokens, TotalTooLarge, and what
    `Resource.extend` raises.
    """
    place = work.mark()
    generation, asked = open_one(work, command.generation_id)
    resources = table(work)
    expires_at = max(generation.expires_at, work.now + timedelta(seconds=command.ttl_s))
    terms = HoldTerms(command.generation_id, expires_at, asked.quote.item, asked.quote.price_version)
    main = _main(resources, asked)
    if command.grow:
        parts: tuple[Charge | Held, ...] = (*generation.charges, *generation.holds)
        taken = sum(sum(part.amounts.values()) for part in parts if part.resource == main.name)
        within(taken, command.grow, "held and charged for the generation")
    grown = main.more(work, asked.user, command.grow)
    holds: list[Held] = []
    for held in generation.holds:
        more = grown.pop(held.stream, 0) if held.resource == main.name else 0
        holds.append(resources.by_name[held.resource].extend(work, held, terms, more))
    for stream, amount in grown.items():  # an account that held nothing of it so far
        held = Held(main.name, stream, {main.unit: amount})
        main.hold(work, held, terms)
        holds.append(held)
    extended = GenerationExtended(generation_id=command.generation_id, expires_at=expires_at, holds=tuple(holds))
    work.emit(stream_of(command.generation_id), extended, at=place)


def _main(resources: Resources, asked: GenerationHeld) -> AccountResource:
    """What `grow` counts: the first that it costs of those that can grow; also when all that was held is charged."""
    growing = [each for each in resources.accounts if each.grows]
    return next((each for each in growing if asked.quote.amounts().get(each.unit)), growing[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class FailGeneration:
    """`reported` may name the use until it failed, the provider's cost and the time it took.

    Everything goes back except what the organisation's policy charges. A provider bills what a cut stream has used,
    and the policy says how much of that the user pays: its percentage counts from the price of the reported use, where
    use is reported and priced, else from the hold. Without a policy nothing is charged, and the use is still recorded.

    `sealed` is the error message.
    """

    generation_id: str
    outcome: Outcome
    reported: Reported = NOTHING_REPORTED
    sealed: str | None = None


def fail(work: Work, command: FailGeneration) -> None:
    """The settlement policy charges a percentage by outcome; none where it names none. Never more than the hold.

    Only a success costs money or counts in a group (S1, S2). Raises NoSuchGeneration, GenerationEnded,
    InvalidSettlement, Unpriced (use of a unit without a rate, where the policy charges for it).
    """
    generation, asked = open_one(work, command.generation_id)
    check_reported(command.reported)
    place = work.mark()
    percent = organisation_of(work).settlement_policy.get(command.outcome, 0)
    settlement = Settlement(work, generation, asked, command.reported, final=True)
    for each in table(work).settling:
        each.settle_failed(settlement, percent)
    fields = settlement.fields(succeeded=None, sealed=command.sealed)
    failed = GenerationFailed(**fields, outcome=command.outcome)
    work.emit(stream_of(command.generation_id), failed, at=place)

"""Keep a generation's holds alive while the work goes on, and let them grow."""

from dataclasses import dataclass
from datetime import timedelta

from domain.bounds import within
from domain.credits.account import account_of
from domain.credits.refusals import InsufficientCredits
from domain.generations import movements
from domain.generations.actual import held_of
from domain.generations.assess import payers, spendable, split_over
from domain.generations.events import GenerationExtended, GenerationHeld, Held
from domain.generations.refusals import InsufficientTokens
from domain.generations.rules import open_one
from domain.generations.state import stream_of
from domain.kernel.work import Work
from domain.organisations.events import Resource
from domain.organisations.state import organisation_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendGeneration:
    """`ttl_s` 1 to 604,800 seconds from now; `grow` further credits (tokens where it costs tokens), 0 for none."""

    generation_id: str
    ttl_s: int
    grow: int = 0


def extend(work: Work, command: ExtendGeneration) -> None:
    """All holds get the same later end, never an earlier one.

    Raises NoSuchGeneration, GenerationEnded, InsufficientCredits, InsufficientTokens, TotalTooLarge, and what
    `movements.extend` raises.
    """
    place = work.mark()
    generation, asked = open_one(work, command.generation_id)
    expires_at = max(generation.expires_at, work.now + timedelta(seconds=command.ttl_s))
    resource = _main(asked)
    if command.grow:
        charged = sum(sum(charge.amounts.values()) for charge in generation.charges if charge.resource is resource)
        within(charged + held_of(generation, resource), command.grow, "held and charged for the generation")
    grown = _grown(work, asked.user, resource, command.grow)
    holds: list[Held] = []
    for held in generation.holds:
        more = grown.pop(held.stream, 0) if held.resource is resource else 0
        movements.extend(work, held, command.generation_id, expires_at, more)
        holds.append(held._replace(amounts={resource.value: movements.amount_of(held) + more}) if more else held)
    for stream, amount in grown.items():  # an account that held nothing of it so far
        held = Held(resource, stream, {resource.value: amount})
        movements.hold(work, held, command.generation_id, expires_at, asked.quote)
        holds.append(held)
    extended = GenerationExtended(generation_id=command.generation_id, expires_at=expires_at, holds=tuple(holds))
    work.emit(stream_of(command.generation_id), extended, at=place)


def _main(asked: GenerationHeld) -> Resource:
    """What `grow` counts: tokens where it costs only tokens, else credits; also when all that was held is charged."""
    only_tokens = asked.quote.tokens and not asked.quote.credits
    return Resource.TOKENS if only_tokens else Resource.CREDITS


def _grown(work: Work, user: str, resource: Resource, amount: int) -> dict[str, int]:
    """What each account holds more of; nothing of what the organisation does not have checked."""
    organisation = organisation_of(work)
    if not amount or not organisation.enforces(resource):
        return {}
    streams = payers(work, organisation, user, resource.value)
    parts = dict(split_over(work, streams, amount))
    if sum(parts.values()) < amount:
        available = sum(spendable(account_of(work, stream)) for stream in streams)
        short = InsufficientTokens if resource is Resource.TOKENS else InsufficientCredits
        raise short(required=amount, available=available)
    return parts

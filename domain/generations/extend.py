"""Keep a generation's holds alive while the work goes on, and let them grow."""

from dataclasses import dataclass
from datetime import timedelta

from domain.bounds import within
from domain.generations.events import Charge, GenerationExtended, GenerationHeld, Held
from domain.generations.rules import open_one
from domain.generations.state import stream_of
from domain.kernel.work import Work
from domain.resources.account import AccountResource
from domain.resources.resource import HoldTerms
from domain.resources.table import Resources, table


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

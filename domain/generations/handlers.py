"""How commands on generations are handled: which streams and tags their decisions see."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.credits.address import reservation_tag
from domain.generations.assess import assess
from domain.generations.commands import (
    CancelGeneration,
    ConfirmGeneration,
    ExtendGeneration,
    FailGeneration,
    StartGeneration,
    cancel,
    confirm,
    extend,
    fail,
    start,
    streams_of,
)
from domain.generations.count import (
    CountEarlier,
    StartCounting,
    count_earlier,
    first_streams,
    further_streams,
    start_counting,
)
from domain.generations.create import CreateGeneration, create
from domain.generations.events import EVENTS
from domain.generations.refund import RefundGeneration, refund_generation, shortfalls
from domain.generations.request import Request
from domain.generations.state import PREFIX, Generation, co_expiring_streams, due, evolve, stream_of
from domain.generations.told import told
from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.organisations.state import STREAM as ORGANISATION
from domain.plans import state as plans
from domain.prices import book as price_book
from domain.quotas.counted import counted_of
from domain.resources.table import Resources, table
from domain.storage.state import content_tag

PLATFORM = (price_book.STREAM, plans.STREAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessGeneration:
    """May this run? Answered by the code of the decision; nothing is written (contract, `check`)."""

    request: Request


def _more(work: Work, request: Request) -> tuple[str, ...]:
    """The accounts that would pay and the groups whose limits hold."""
    streams: list[str] = []
    for each in table(work).loading_more:
        streams += each.more_streams(work, request)
    return tuple(streams)


def _settles(
    decide: Callable[[Work, Any], None],
    tags: Callable[[Any], tuple[str, ...]] = lambda _command: (),
) -> Decider:
    """The handler of a command that ends, lengthens or undoes what a generation holds or was charged."""
    return Decider(
        streams=lambda command: (stream_of(command.generation_id), ORGANISATION),
        decide=decide,
        tags=tags,
        platform=(price_book.STREAM,),
        streams_from_state=lambda work, command: streams_of(
            work, command.generation_id, growing=isinstance(command, ExtendGeneration) and command.grow > 0
        ),
    )


def _contents(command: ConfirmGeneration) -> tuple[str, ...]:
    return tuple(content_tag(content.id) for content in command.reported.contents)


def module(resources: Resources) -> Module:
    """Generations that need these resources."""

    def of_request(request: Request) -> tuple[str, ...]:
        streams = [ORGANISATION]
        for each in resources.loading_first:
            streams += each.first_streams(request)
        return tuple(streams)

    def of_create(command: CreateGeneration) -> tuple[str, ...]:
        """A generation whose id the server has made cannot have a stream yet."""
        own = (stream_of(command.generation_id),) if command.own_id else ()
        parent = (stream_of(command.parent_id),) if command.parent_id else ()
        return (*own, *parent, *of_request(command.request))

    creating = Decider(
        streams=of_create,
        decide=create,
        tags=lambda command: (reservation_tag(command.generation_id),) if command.own_id else (),
        platform=PLATFORM,
        streams_from_state=lambda work, command: _more(work, command.request),
    )
    assessing = Answerer(
        streams=lambda question: of_request(question.request),
        answer=lambda work, question: told(assess(work, question.request)),
        platform=PLATFORM,
        streams_from_state=lambda work, question: _more(work, question.request),
    )
    return Module(
        deciders={CreateGeneration: creating, **_DECIDERS},
        answerers={AssessGeneration: assessing},
        kinds=_KINDS,
        events=EVENTS,
        resources=resources,
    )


_DECIDERS: dict[type, Decider] = {
    StartGeneration: Decider(lambda command: (stream_of(command.generation_id),), start),
    CancelGeneration: _settles(cancel),
    ExtendGeneration: _settles(extend),
    ConfirmGeneration: _settles(confirm, _contents),
    FailGeneration: _settles(fail),
    StartCounting: Decider(
        first_streams,
        start_counting,
        result_state=lambda work, command: counted_of(work, command.resource).complete,
    ),
    CountEarlier: Decider(first_streams, count_earlier, streams_from_state=further_streams),
    RefundGeneration: _settles(refund_generation, lambda command: (reservation_tag(command.generation_id),))._replace(
        streams_from_state=lambda work, command: (
            *streams_of(work, command.generation_id),
            *shortfalls(work, command.generation_id),
        )
    ),
}

_KINDS: dict[str, StreamKind] = {
    PREFIX: StreamKind(
        initial=Generation(),
        evolve=evolve,
        next_due=lambda generation: generation.next_due,
        due=due,
        entries=lambda _generation: 1,
        schema=2,  # since parts are counted
        co_expiring_streams=co_expiring_streams,
        ended_id=lambda event: event.generation_id,
    ),
}

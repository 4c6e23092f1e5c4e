"""How commands and questions on plans, plan tokens and purchases are handled: which streams their decisions see."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from domain.credits.address import payment_tag
from domain.execution import Answerer, Handler, View
from domain.plans import complete_purchase as completion
from domain.plans import deduct as tokens
from domain.plans.complete_purchase import CompletePurchase, complete_purchase
from domain.plans.deduct import DeductTokens, TokensNow, deduct, tokens_now
from domain.plans.fail_purchase import FailPurchase, fail_purchase
from domain.plans.publish_features import PublishFeatures, publish_features
from domain.plans.publish_packages import PublishPackages, publish_packages
from domain.plans.publish_plan import PublishPlan, publish_plan
from domain.plans.start_purchase import StartPurchase, start_purchase
from domain.plans.state import STREAM, purchase_stream


def _offer(decide: Callable[..., Iterable[Any]]) -> Handler:
    """The handler of a command that changes what the platform offers; it runs in the platform's own organisation."""

    def run(view: View, command: Any, now: datetime) -> Iterable[tuple[str, Any]]:
        return [(STREAM, event) for event in decide(view.state(STREAM), command, now)]

    return Handler(lambda _command: (STREAM,), run)


def _purchase(command: StartPurchase | FailPurchase) -> tuple[str, ...]:
    return (purchase_stream(command.purchase_id),)


def _start(view: View, command: StartPurchase, _now: datetime) -> Iterable[tuple[str, Any]]:
    stream = purchase_stream(command.purchase_id)
    started = start_purchase(view.state(stream), view.platform(STREAM), command, view.org)
    return [(stream, event) for event in started]


def _fail(view: View, command: FailPurchase, _now: datetime) -> Iterable[tuple[str, Any]]:
    stream = purchase_stream(command.purchase_id)
    return [(stream, event) for event in fail_purchase(view.state(stream), command)]


HANDLERS: dict[type, Handler] = {
    PublishPlan: _offer(publish_plan),
    PublishFeatures: _offer(publish_features),
    PublishPackages: _offer(publish_packages),
    DeductTokens: Handler(
        tokens.first_streams, deduct, platform=(STREAM,), further=tokens.further_streams, left=tokens.tokens_left
    ),
    StartPurchase: Handler(_purchase, _start, platform=(STREAM,)),
    CompletePurchase: Handler(
        completion.first_streams,
        complete_purchase,
        tags=lambda command: (payment_tag(command.payment_ref),),
        further=completion.further_streams,
    ),
    FailPurchase: Handler(_purchase, _fail),
}

ANSWERERS: dict[type, Answerer] = {
    TokensNow: Answerer(tokens.first_streams, tokens_now, platform=(STREAM,), further=tokens.further_streams),
}

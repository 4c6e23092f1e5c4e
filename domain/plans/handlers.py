"""How commands and questions on plans, plan tokens and purchases are handled: which streams their decisions see."""

from typing import Any

from domain.credits.address import payment_tag
from domain.kernel.domain import Answerer, Decider, Module, timeless
from domain.kernel.work import StreamKind
from domain.plans import complete_purchase as completion
from domain.plans import deduct as tokens
from domain.plans.complete_purchase import CompletePurchase, complete_purchase
from domain.plans.deduct import DeductTokens, TokensNow, deduct, tokens_now
from domain.plans.events import EVENTS
from domain.plans.fail_purchase import FailPurchase, fail_purchase
from domain.plans.publish_features import PublishFeatures, publish_features
from domain.plans.publish_packages import PublishPackages, publish_packages
from domain.plans.publish_plan import PublishPlan, publish_plan
from domain.plans.start_purchase import StartPurchase, start_purchase
from domain.plans.state import PURCHASE_PREFIX, STREAM, Catalogue, Purchase, evolve, evolve_purchase, purchase_stream


def _offers(_command: Any) -> tuple[str, ...]:
    """What changes the platform's offers runs in the platform's own organisation."""
    return (STREAM,)


def _purchase(command: StartPurchase | FailPurchase) -> tuple[str, ...]:
    return (purchase_stream(command.purchase_id),)


DECIDERS: dict[type, Decider] = {
    PublishPlan: Decider(_offers, publish_plan),
    PublishFeatures: Decider(_offers, publish_features),
    PublishPackages: Decider(_offers, publish_packages),
    DeductTokens: Decider(
        tokens.first_streams,
        deduct,
        platform=(STREAM,),
        streams_from_state=tokens.further_streams,
        result_state=tokens.tokens_left,
    ),
    StartPurchase: Decider(_purchase, start_purchase, platform=(STREAM,)),
    CompletePurchase: Decider(
        completion.first_streams,
        complete_purchase,
        tags=lambda command: (payment_tag(command.payment_ref),),
        streams_from_state=completion.further_streams,
    ),
    FailPurchase: Decider(_purchase, fail_purchase),
}

ANSWERERS: dict[type, Answerer] = {
    TokensNow: Answerer(
        tokens.first_streams, tokens_now, platform=(STREAM,), streams_from_state=tokens.further_streams
    ),
}

KINDS: dict[str, StreamKind] = {
    PURCHASE_PREFIX: timeless(Purchase(), evolve_purchase, lambda _purchase: 1),
    # Schema 2: the first features, with which every fold begins, have one more.
    STREAM: timeless(Catalogue(), evolve, lambda catalogue: len(catalogue.features), schema=2),
}


MODULE = Module(deciders=DECIDERS, answerers=ANSWERERS, kinds=KINDS, events=EVENTS)

"""The prices and features that a new installation starts with."""

from __future__ import annotations

from domain.plans.catalogue import FEATURES, TOKEN_COSTS
from domain.plans.publish_features import PublishFeatures
from domain.prices.catalogue import CATALOGUE
from domain.prices.publish import PublishPrices
from domain.refusal import StaleVersion
from infra.partitions import PLATFORM
from infra.settings import Settings
from infra.writer.submission import Outcome, Submission
from infra.writer.writer import Writer

CALLER = "platform:bootstrap"
DEADLINE_S = 30.0


def publish_first_offer(settings: Settings) -> None:
    """Publish the first version of the price book and of the features; what is there already is left alone.

    Raises what the writer raises where the ledger cannot be reached.
    """
    prices = PublishPrices(entries=CATALOGUE, first=True)
    features = PublishFeatures(features=FEATURES, token_costs=TOKEN_COSTS, expected=0)
    first = [
        Submission(org=PLATFORM, command=command, actor=CALLER, caller=CALLER, key=f"bootstrap:{name}:1")
        for name, command in (("prices", prices), ("features", features))
    ]
    with Writer(settings.writer_url.get_secret_value()) as writer:
        outcomes = writer.submit(first).result(DEADLINE_S)
    for outcome in outcomes:
        known = isinstance(outcome, Outcome) and outcome.refusal and outcome.refusal.code == StaleVersion.code
        if not known and not (isinstance(outcome, Outcome) and outcome.refusal is None):
            raise RuntimeError(f"the first offer was not published: {outcome}")

"""The prices that a new installation starts with."""

from __future__ import annotations

from domain.prices.catalogue import CATALOGUE
from domain.prices.publish import PublishPrices
from infra.partitions import PLATFORM
from infra.settings import Settings
from infra.writer.submission import Outcome, Submission
from infra.writer.writer import Writer

KEY = "bootstrap:prices:1"
DEADLINE_S = 30.0


def publish_first_prices(settings: Settings) -> None:
    """Publish the catalogue as the first version of the price book; an existing book is left alone.

    Raises what the writer raises where the ledger cannot be reached.
    """
    first = Submission(
        org=PLATFORM,
        command=PublishPrices(entries=CATALOGUE, first=True),
        actor="platform:bootstrap",
        caller="platform:bootstrap",
        key=KEY,
    )
    with Writer(settings.writer_url.get_secret_value()) as writer:
        (outcome,) = writer.submit([first]).result(DEADLINE_S)
    if isinstance(outcome, Outcome) and outcome.refusal is None:
        return
    raise RuntimeError(f"the first prices were not published: {outcome}")

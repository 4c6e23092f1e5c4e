"""All metrics that the roles export, as they are before anything has happened: for documentation and checks."""

from __future__ import annotations

from prometheus_client.core import Metric

from api.metrics import Metrics
from consumers.intake.role import intake_metrics
from consumers.intake.tally import Tally
from consumers.notifier.engine import Engine
from consumers.notifier.role import notifier_metrics
from consumers.projector_metrics import Counts, projector_metrics
from infra.relay.relay import Relay
from infra.relay.role import relay_metrics
from infra.sweeper import sweeper_metrics
from infra.writer.ledger import Ledger
from infra.writer.reader import Reader
from infra.writer.writer import Writer


def exported_metrics() -> dict[str, list[Metric]]:
    """Role -> its metric families. Nothing is connected."""
    writer = Writer("")
    of_the_api = Metrics()
    of_the_api.watch(Ledger(writer, reader=Reader("")))
    collectors = {
        "api": of_the_api,
        "relay": relay_metrics(Relay("", {}, "")),
        "projector": projector_metrics(Counts()),
        "intake": intake_metrics(Tally(), writer),
        "sweeper": sweeper_metrics(int, writer),
        "notifier": notifier_metrics(Engine()),
    }
    return {role: list(collector.collect()) for role, collector in collectors.items()}

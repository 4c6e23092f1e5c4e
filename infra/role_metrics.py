"""The metrics of a role that serves no HTTP itself: what it counts anyway, read at each scrape."""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from infra.embedded.errors import PortInUse
from infra.settings import Settings


class Figure(NamedTuple):
    """One metric. `read` gives its value, or a value for each value of `label`."""

    kind: Literal["counter", "gauge"]
    name: str
    documentation: str
    read: Callable[[], float | Mapping[str, float]]
    label: str = ""


class RoleMetrics(Collector):
    """Figures of a role, beside whatever other families it has."""

    def __init__(self, figures: Sequence[Figure], more: Callable[[], Iterator[Metric]] | None = None) -> None:
        self._figures = figures
        self._more = more

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        for figure in self._figures:
            yield _family(figure)
        if self._more is not None:
            yield from self._more()


def _family(figure: Figure) -> Metric:
    made = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    family = made(figure.name, figure.documentation, labels=(figure.label,) if figure.label else ())
    found = figure.read()
    for label, value in list(found.items()) if isinstance(found, Mapping) else [("", found)]:
        family.add_metric((label,) if figure.label else (), value)
    return family


@contextmanager
def metrics_served(settings: Settings, metrics: RoleMetrics) -> Iterator[None]:
    """Within the block `/metrics` is served on SCRIP_HOST and SCRIP_METRICS_PORT; nothing is where the port is 0.

    Raises PortInUse, OSError.
    """
    if not settings.metrics_port:
        yield
        return
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortInUse(settings.metrics_port) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

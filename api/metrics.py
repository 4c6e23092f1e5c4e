"""Prometheus metrics. What every request counts is kept in plain lists and turned into metrics when somebody looks."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from infra.writer.writer import Writer

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

GENERATED = frozenset({"image", "video", "music", "chat", "studio", "marketing", "playground", "upload"})


class _Timing:
    """A route's latencies: a count for each bucket, the last one for all above."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0


class Metrics(Collector):
    """Counts of one process, in a registry of its own. Labels are routes and codes, never ids."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._timings: dict[str, _Timing] = {}
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._blocked: Counter[tuple[str, str]] = Counter()
        self._writer: Writer | None = None
        self.lag: dict[int, tuple[int, float]] = {}  # partition -> events and seconds that the read models are behind
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def watch(self, writer: Writer) -> None:
        """Show this writer's figures too."""
        self._writer = writer

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is the path's pattern."""
        self._requests[method, route, status] += 1
        timing = self._timings.get(route)
        if timing is None:
            timing = self._timings[route] = _Timing()
        timing.counts[bisect_left(BUCKETS_S, seconds)] += 1
        timing.total_s += seconds

    def refused(self, operation: str, code: str) -> None:
        """Count a refusal by operation and reason."""
        self._refusals[operation, code] += 1

    def blocked(self, operation: str, reason: str) -> None:
        """Count a generation that was refused, or whose check was (S0); `operation` is what was to be generated."""
        self._blocked[operation if operation in GENERATED else "other", reason] += 1

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        requests = CounterMetricFamily(
            "scrip_http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        for (method, route, status), count in self._requests.items():
            requests.add_metric((method, route, str(status)), count)
        yield requests
        yield self._latencies()
        refusals = CounterMetricFamily(
            "scrip_refusals", "Refusals by operation and reason.", labels=("operation", "code")
        )
        for (operation, code), count in self._refusals.items():
            refusals.add_metric((operation, code), count)
        yield refusals
        blocked = CounterMetricFamily(
            "scrip_blocked", "Generations refused, and checks.", labels=("operation", "reason")
        )
        for (operation, reason), count in self._blocked.items():
            blocked.add_metric((operation, reason), count)
        yield blocked
        yield from self._of_the_writer()
        events = GaugeMetricFamily(
            "scrip_read_model_lag_events", "Events not yet in the read models.", labels=("partition",)
        )
        seconds = GaugeMetricFamily("scrip_read_model_lag_seconds", "Age of the oldest of them.", labels=("partition",))
        for partition, (behind, age) in self.lag.items():
            events.add_metric((str(partition),), behind)
            seconds.add_metric((str(partition),), age)
        yield events
        yield seconds

    def _latencies(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily("scrip_http_request_seconds", "Time to answer.", labels=("route",))
        for route, timing in self._timings.items():
            counted, buckets = 0, []
            for bound, count in zip((*BUCKETS_S, float("inf")), timing.counts, strict=True):
                counted += count
                buckets.append(("+Inf" if bound == float("inf") else str(bound), counted))
            family.add_metric((route,), buckets=buckets, sum_value=timing.total_s)
        return family

    def _of_the_writer(self) -> Iterator[Metric]:
        if self._writer is None:
            return
        counters = self._writer.counters
        yield CounterMetricFamily("scrip_writer_batches", "Transactions committed.", value=counters.batches)
        yield CounterMetricFamily("scrip_writer_commands", "Commands decided.", value=counters.commands)
        yield CounterMetricFamily("scrip_writer_queries", "Current states read.", value=counters.queries)
        yield CounterMetricFamily(
            "scrip_writer_failures", "Connections to the log that were lost.", value=counters.failures
        )
        yield GaugeMetricFamily(
            "scrip_writer_largest_batch", "Commands in the largest batch.", value=counters.largest_batch
        )
        yield GaugeMetricFamily(
            "scrip_writer_longest_batch_seconds", "The longest batch.", value=counters.longest_batch_s
        )
        yield GaugeMetricFamily("scrip_writer_waiting", "Commands that wait.", value=self._writer.depth)
        yield GaugeMetricFamily(
            "scrip_writer_connected", "1 with a connection to the log.", value=int(self._writer.connected)
        )

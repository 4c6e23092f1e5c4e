"""Prometheus metrics. What every request counts is kept in plain lists and turned into metrics when they are read."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from api.http.limits import Crowd
from api.operator.watch import GAUGES, Backlog, ConsumerWatch
from infra.decisions import RefusedChecks
from infra.disk import DiskWatch
from infra.writer.ledger import Ledger
from infra.writer.metrics import cumulated, reader_metrics, writer_metrics

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
        self._ledger: Ledger | None = None
        self.checks: RefusedChecks | None = None  # none: nothing is published by this process
        self.backlog = Backlog()
        self.consumers: ConsumerWatch | None = None
        self.crowd: Crowd | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def watch(self, ledger: Ledger) -> None:
        """Show the figures of its writer and its reader too."""
        self._ledger = ledger

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
        unpublished = CounterMetricFamily(
            "scrip_refused_checks_unpublished", "Refused checks that have no record of their own.", labels=("why",)
        )
        unpublished.add_metric(("rate",), self.checks.left_out if self.checks else 0)
        unpublished.add_metric(("broker",), self.checks.dropped if self.checks else 0)
        yield unpublished
        if self._ledger is not None:
            yield from writer_metrics(self._ledger.writer)
            yield from reader_metrics(self._ledger.reader)
            yield from _disks(self._ledger.writer.disk)
        if self.crowd is not None:
            yield from _of_the_crowd(self.crowd)
        yield from self._of_the_log()
        yield from self._of_the_consumers()

    def _latencies(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily("scrip_http_request_seconds", "Time to answer.", labels=("route",))
        for route, timing in self._timings.items():
            family.add_metric((route,), buckets=cumulated(BUCKETS_S, timing.counts), sum_value=timing.total_s)
        return family

    def _of_the_log(self) -> Iterator[Metric]:
        written = CounterMetricFamily("scrip_log_events", "Events in the log.", labels=("partition",))
        behind = GaugeMetricFamily(
            "scrip_read_model_lag_events", "Events not yet in the read models.", labels=("partition",)
        )
        seconds = GaugeMetricFamily("scrip_read_model_lag_seconds", "Age of the oldest of them.", labels=("partition",))
        for partition, lag in self.backlog.lags.items():
            written.add_metric((str(partition),), lag.position)
            behind.add_metric((str(partition),), lag.events)
            seconds.add_metric((str(partition),), lag.seconds)
        yield from (written, behind, seconds)
        yield GaugeMetricFamily(
            "scrip_read_model_stopped_partitions",
            "Partitions whose next event cannot be applied.",
            value=len(self.backlog.stops),
        )
        stopped = GaugeMetricFamily(
            "scrip_unpublished_partitions",
            "Partitions whose next event does not get into the ledger's topic; refused: Kafka does not take it.",
            labels=("refused",),
        )
        for refused in (True, False):
            count = sum(row["refused"] is refused for row in self.backlog.relay)
            stopped.add_metric((str(refused).lower(),), count)
        yield stopped
        faults = GaugeMetricFamily(
            "scrip_topic_faults", "Faults of the ledger's topic that are not acknowledged yet.", labels=("kind",)
        )
        for kind in ("foreign", "missing"):
            faults.add_metric((kind,), sum(row["records"] for row in self.backlog.topic if row["kind"] == kind))
        yield faults
        for name, meaning in GAUGES.items():
            yield GaugeMetricFamily(f"scrip_{name}", meaning, value=self.backlog.waiting.get(name, 0))

    def _of_the_consumers(self) -> Iterator[Metric]:
        watch, labels = self.consumers, ("topic", "group", "partition")
        records = GaugeMetricFamily("scrip_consumer_lag_records", "Records that wait for a consumer.", labels=labels)
        seconds = GaugeMetricFamily("scrip_consumer_lag_seconds", "Age of the oldest of them.", labels=labels)
        still = GaugeMetricFamily(
            "scrip_consumer_still_seconds", "For how long they wait without any progress.", labels=labels
        )
        for one in watch.consumers if watch is not None else ():
            values = (one.topic, one.group, str(one.partition))
            records.add_metric(values, one.records)
            seconds.add_metric(values, one.seconds)
            still.add_metric(values, one.still_s)
        yield from (records, seconds, still)
        broker = GaugeMetricFamily(
            "scrip_broker_connected", "1 while the broker answers how far consumers have read.", labels=()
        )
        if watch is not None and watch.broker is not None:
            broker.add_metric((), watch.broker)
        yield broker


def _disks(disk: DiskWatch) -> Iterator[Metric]:
    free = GaugeMetricFamily(
        "scrip_disk_free_bytes", "Bytes free on the disk of PostgreSQL, Kafka and the data folder.", labels=("folder",)
    )
    size = GaugeMetricFamily("scrip_disk_size_bytes", "Bytes that the disk has in all.", labels=("folder",))
    for room in disk.rooms:
        free.add_metric((room.name,), room.free)
        size.add_metric((room.name,), room.size)
    yield from (free, size)
    yield GaugeMetricFamily(
        "scrip_disk_full", "1 while commands are refused because PostgreSQL's disk is full.", value=int(disk.full)
    )


def _of_the_crowd(crowd: Crowd) -> Iterator[Metric]:
    yield GaugeMetricFamily("scrip_connections", "Connections of callers.", value=crowd.count)
    memory = GaugeMetricFamily("scrip_edge_memory_bytes", "Kept for callers at the edge.", labels=("what",))
    memory.add_metric(("requests",), crowd.held)
    memory.add_metric(("answers",), crowd.unread)
    yield memory
    ended = CounterMetricFamily(
        "scrip_connections_refused", "Connections turned away or cut by the limits at the edge.", labels=("limit",)
    )
    for limit, count in crowd.refused.items():
        ended.add_metric((limit,), count)
    yield ended

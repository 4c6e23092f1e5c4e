"""A writer's figures as Prometheus metrics, made when somebody looks."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from infra.writer.counters import BATCH_BUCKETS_S, Counters
from infra.writer.reader import Reader
from infra.writer.writer import Writer


def cumulated(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Counts for each bucket, the last for all above the bounds, as Prometheus wants them: each with those below it."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets


def writer_metrics(writer: Writer) -> Iterator[Metric]:
    """The figures of every process that decides commands: API, intake, sweeper."""
    counters = writer.counters
    yield CounterMetricFamily("scrip_writer_batches", "Transactions committed.", value=counters.batches)
    yield CounterMetricFamily(
        "scrip_writer_cut_batches",
        "Transactions ended early, so that others need not wait.",
        value=counters.cut_batches,
    )
    yield CounterMetricFamily("scrip_writer_commands", "Commands decided.", value=counters.commands)
    yield CounterMetricFamily(
        "scrip_writer_failures", "Connections to the log that were lost.", value=counters.failures
    )
    yield _seconds(counters)
    yield GaugeMetricFamily(
        "scrip_writer_largest_batch", "Commands in the largest batch.", value=counters.largest_batch
    )
    yield GaugeMetricFamily("scrip_writer_longest_batch_seconds", "The longest batch.", value=counters.longest_batch_s)
    yield GaugeMetricFamily(
        "scrip_writer_longest_lock_wait_seconds",
        "The longest wait for other writers of a partition.",
        value=counters.longest_lock_wait_s,
    )
    yield GaugeMetricFamily("scrip_writer_waiting", "Commands that wait.", value=writer.depth)
    yield GaugeMetricFamily("scrip_writer_connected", "1 with a connection to the log.", value=int(writer.connected))
    events = CounterMetricFamily("scrip_writer_events", "Events committed, by type.", labels=("type",))
    for type_, count in list(counters.events.items()):
        events.add_metric((type_,), count)
    yield events


def _seconds(counters: Counters) -> HistogramMetricFamily:
    family = HistogramMetricFamily("scrip_writer_batch_seconds", "From taking a batch until it was answered.")
    family.add_metric((), buckets=cumulated(BATCH_BUCKETS_S, counters.batch_counts), sum_value=counters.batches_s)
    return family


def reader_metrics(reader: Reader) -> Iterator[Metric]:
    """The figures of the process that answers questions: the API."""
    yield CounterMetricFamily(
        "scrip_reader_questions", "Questions answered from current states.", value=reader.answered
    )
    yield GaugeMetricFamily("scrip_reader_connected", "1 with a connection to the log.", value=int(reader.connected))

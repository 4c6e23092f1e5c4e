"""What a writer counts: a few additions for a batch, and metrics when somebody looks."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from infra.writer.batch import Batch

BATCH_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Counters:
    """What the writer has done since it started.

    `batch_counts`: batches by the bounds BATCH_BUCKETS_S, the last for all above; `batches_s`: the seconds of all;
    `events`: committed ones by type;
    `cut_batches`: those that were ended early because others would have had to wait for the rest.
    """

    batches: int = 0
    cut_batches: int = 0
    commands: int = 0
    largest_batch: int = 0
    longest_batch_s: float = 0.0
    longest_lock_wait_s: float = 0.0
    failures: int = 0
    batches_s: float = 0.0
    batch_counts: list[int] = field(default_factory=lambda: [0] * (len(BATCH_BUCKETS_S) + 1))
    events: Counter[str] = field(default_factory=Counter)

    def batch(self, commands: int, seconds: float) -> None:
        """Count a batch that was answered; `batches` and `commands` last, for who waits for them."""
        self.largest_batch = max(self.largest_batch, commands)
        self.longest_batch_s = max(self.longest_batch_s, seconds)
        self.batches_s += seconds
        self.batch_counts[bisect_left(BATCH_BUCKETS_S, seconds)] += 1
        self.commands += commands
        self.batches += 1

    def committed(self, batch: Batch) -> None:
        """Take over what the batch has counted since the last time."""
        self.longest_lock_wait_s = max(self.longest_lock_wait_s, batch.longest_lock_wait_s)
        batch.longest_lock_wait_s = 0.0
        self.events.update(batch.committed)
        batch.committed.clear()

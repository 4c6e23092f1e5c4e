"""What a projector shows of itself."""

from dataclasses import dataclass
from typing import Protocol

from infra.role_metrics import Figure, RoleMetrics


class Shown(Protocol):
    """Counts since the start, and how many partitions stand still now; a `Projection` is one."""

    @property
    def applied(self) -> int: ...
    @property
    def foreign(self) -> int: ...
    @property
    def stopped(self) -> int: ...


@dataclass
class Counts:
    """The figures of a projector that has not begun."""

    applied: int = 0
    foreign: int = 0
    stopped: int = 0


def projector_metrics(shown: Shown) -> RoleMetrics:
    """The figures of a projector."""
    foreign = "Records left out: not the log's events."
    return RoleMetrics(
        [
            Figure("counter", "scrip_projector_applied", "Events applied.", lambda: shown.applied),
            Figure("counter", "scrip_projector_foreign_records", foreign, lambda: shown.foreign),
            Figure(
                *("gauge", "scrip_projector_stopped_partitions", "Its partitions whose next event cannot be applied."),
                lambda: shown.stopped,
            ),
        ]
    )

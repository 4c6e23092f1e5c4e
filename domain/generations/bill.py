"""What settling a generation comes to, as it is made up."""

from dataclasses import dataclass, field
from typing import Any

from domain.generations.actual import Reported
from domain.generations.events import Charge, GenerationHeld, Held
from domain.quotas.events import Amounts


@dataclass(slots=True)
class Bill:
    """Made up in one decision; `holds` is what is still held for the rest of the work."""

    charges: list[Charge] = field(default_factory=list)
    returned: Amounts = field(default_factory=dict)
    uncharged: Amounts = field(default_factory=dict)
    shortfall: Amounts = field(default_factory=dict)
    holds: list[Held] = field(default_factory=list)

    def settled(
        self, asked: GenerationHeld, reported: Reported, *, usd: int, succeeded: int | None, sealed: str | None
    ) -> dict[str, Any]:
        """The fields of `Settled`."""
        return {
            "generation_id": asked.generation_id,
            "user": asked.user,
            "charges": tuple(self.charges),
            "returned": self.returned,
            "uncharged": self.uncharged,
            "shortfall": self.shortfall,
            "usd": usd,
            "succeeded": succeeded,
            "contents": reported.contents,
            "provider_cost": reported.provider_cost,
            "generation_time_ms": reported.generation_time_ms,
            "sealed": sealed,
            "usage": reported.usage or {},
        }

"""Resources of which a generation takes one of each unit while it is open, and nothing afterwards."""

from collections.abc import Mapping

from domain.generations.assessment import Assessment
from domain.generations.events import Held, ResourceCheck
from domain.generations.request import Request
from domain.generations.settlement import Settlement
from domain.kernel.work import Work
from domain.quotas.counted import PREFIX, Counted, stream_of
from domain.resources.quota import QuotaResource

Limits = Mapping[str, int | None]  # by unit; None: there is none


class CountedResource(QuotaResource):
    """A refusal is to be retried: the shortage ends with other generations. Its limits are `settings`.

    Nothing is counted before the first of them is set for an organisation. Then it is counted for good, with those
    that are open already (domain/generations/count.py).
    """

    kind = PREFIX
    transient = True

    def __init__(self) -> None:
        self.stream = stream_of(self.name)
        self._streams = (self.stream,)

    def limits(self, work: Work, user: str, model: str | None, /) -> Limits:
        """All units as which a generation of this user counts, also those without a limit now."""
        raise NotImplementedError

    def limit_streams(self, _user: str, _model: str | None, /) -> tuple[str, ...]:
        """The streams that `limits` needs, beside the organisation's and those of its user's groups."""
        return ()

    def first_streams(self, _request: Request) -> tuple[str, ...]:
        return self._streams

    def more_streams(self, work: Work, request: Request) -> tuple[str, ...]:
        """None where nothing is counted: then this is all that it costs."""
        return self.limit_streams(request.user, request.model) if work.state(self.stream).started else ()

    def quote(self, _assessment: Assessment) -> None:
        """It is not priced."""
        return

    def check(self, assessment: Assessment) -> None:
        work = assessment.work
        counted: Counted = work.state(self.stream)
        if not counted.started:
            return
        limits = self.limits(work, assessment.request.user, assessment.model)
        enforced = assessment.organisation.enforces(self.name)
        for unit, limit in limits.items():
            if enforced and limit is not None:
                left = max(0, limit - counted.counts.get(unit, 0))
                assessment.checks.append(ResourceCheck(self.name, left > 0, self.reason, 1, left, limit, unit))
        assessment.holds.append(self.held(limits))

    def held(self, units: Limits) -> Held:
        """What one generation holds."""
        return Held(self.name, self.stream, dict.fromkeys(units, 1))

    def settle(self, settlement: Settlement) -> None:
        for held in settlement.held(self.name):
            if settlement.final:
                self.release(settlement.work, held, settlement.asked.generation_id)
            else:
                settlement.holds.append(held)

    def settle_failed(self, settlement: Settlement, _percent: int) -> None:
        self.settle(settlement)

    def settle_late(self, settlement: Settlement) -> None:
        """It has ended, and costs nothing."""

    def place(self, _stream: str) -> tuple[str, str]:
        return "resource", self.name

"""Storage: room for what is generated or uploaded, in bytes (S0)."""

from collections.abc import Iterable, Sequence
from typing import Any

from domain.generations.assessment import Assessment
from domain.generations.events import Held, ResourceCheck
from domain.generations.request import IMAGE_LIKE, MB, VIDEO, Request
from domain.generations.settlement import Settlement
from domain.kernel.work import Work
from domain.quotas.events import Amounts, UseSettled
from domain.quotas.quota import fits, minus
from domain.resources.quota import QuotaResource
from domain.resources.resource import Action, deficit
from domain.storage import state as storages
from domain.storage.events import ContentStored
from domain.storage.state import BYTES, limit_of, storage_of
from domain.wording import bytes_share_text, bytes_text

IMAGE_BYTES, VIDEO_BYTES = 5 * MB, 10 * MB  # S0: free space that each needs


class Storage(QuotaResource):
    """What is stored counts until it is deleted; what is held is given back when the generation ends."""

    name = "storage"
    reason = "insufficient_storage"
    short = "not enough storage"
    about = "room for what is generated"
    kind = storages.PREFIX
    ways_out = (Action("Delete Old Generations", "generations"), Action("Upgrade for More Storage", "plan"))

    def limit(self, _work: Work, state: storages.Storage, _unit: str) -> int | None:
        return state.limit

    def default_limit(self, assessment: Assessment) -> int:
        """The plan's, else the deployment's."""
        of_plan = assessment.organisation.storage_limit
        return assessment.request.defaults.storage_limit if of_plan is None else of_plan

    def first_streams(self, request: Request) -> tuple[str, ...]:
        return (storages.stream_of(request.user),)

    def settling_streams(self, _work: Work, user: str, *, growing: bool) -> tuple[str, ...]:
        del growing
        return (storages.stream_of(user),)

    def quote(self, assessment: Assessment) -> None:
        """Add the bytes; what the caller declares can only raise what the kind of operation needs."""
        request = assessment.request
        size = request.bytes or 0
        if request.operation in IMAGE_LIKE:
            size = max(IMAGE_BYTES, size)
        elif request.operation == VIDEO:
            size = max(VIDEO_BYTES, size)
        if size:
            assessment.amounts[BYTES] = size * assessment.count

    def needs(self, assessment: Assessment) -> Iterable[tuple[str, Amounts]]:
        """Where bytes are declared there is a check, also of 0 bytes."""
        request, size = assessment.request, assessment.amounts.get(BYTES, 0)
        return () if not size and request.bytes is None else ((storages.stream_of(request.user), {BYTES: size}),)

    def settle(self, settlement: Settlement) -> None:
        self._store(settlement)
        stored = sum(content.bytes for content in settlement.reported.contents)
        for held in settlement.held(self.name):
            if settlement.final:
                self.release(settlement.work, held, settlement.asked.generation_id)
            else:
                self._free(settlement, held, min(stored, held.amounts.get(BYTES, 0)))

    def settle_failed(self, settlement: Settlement, _percent: int) -> None:
        for held in settlement.held(self.name):
            self.release(settlement.work, held, settlement.asked.generation_id)

    def settle_late(self, settlement: Settlement) -> None:
        self._store(settlement)

    def sentence(self, check: ResourceCheck) -> str:
        available = check.available or 0
        return (
            f"Not enough storage. This needs {bytes_text(check.needed)}, but only {bytes_text(available)} of "
            f"{bytes_text(check.limit or 0)} is free. You're {bytes_text(check.needed - available)} short."
        )

    def facts(self, assessment: Assessment, checks: Sequence[ResourceCheck]) -> dict[str, Any]:
        request = assessment.request
        storage = storage_of(assessment.work, request.user)
        limit = limit_of(storage, assessment.organisation, request.defaults.storage_limit)
        used = storage.quota.used.get(BYTES, 0)
        return {
            "storage_needed": deficit(checks),
            "current_storage": used,
            "storage_limit": limit,
            "storage_percent": used * 1000 // limit / 10 if limit else 100.0,
            "storage_formatted": bytes_share_text(used, limit),
        }

    def _store(self, settlement: Settlement) -> None:
        """Stored bytes are recorded as they are, even past the limit (contract)."""
        work, asked, contents = settlement.work, settlement.asked, settlement.reported.contents
        if contents:
            fits(storage_of(work, asked.user).quota, {BYTES: sum(content.bytes for content in contents)})
        for content in contents:
            stored = ContentStored(
                content_id=content.id,
                bytes=content.bytes,
                generation_id=asked.generation_id,
                sealed=settlement.sealed_urls.get(content.id),
            )
            work.emit(storages.stream_of(asked.user), stored)

    def _free(self, settlement: Settlement, held: Held, size: int) -> None:
        """Give back the space of a part that is stored."""
        returned = {BYTES: size}
        if size:
            id_ = settlement.asked.generation_id
            part = UseSettled(generation_id=id_, used={}, returned=returned, final=False)
            settlement.work.emit(held.stream, part)
        settlement.holds.append(held._replace(amounts=minus(held.amounts, returned)))


STORAGE = Storage()

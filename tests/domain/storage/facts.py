"""Facts and commands about storage that these tests have in common."""

from domain.organisations.events import PlanChosen
from domain.storage.commands import DeleteContent, SetStorageLimit
from domain.storage.events import ContentStored
from domain.storage.state import StorageNow, StorageUse, stream_of
from tests.domain.scenario import NOW, Scenario

ANNA = stream_of("anna")
BEN = stream_of("ben")
MB = 1_048_576
GB = 1_024 * MB


def stored(content_id: str, size: int) -> ContentStored:
    return ContentStored(content_id=content_id, bytes=size)


def limit(amount: int | None) -> SetStorageLimit:
    return SetStorageLimit(user="anna", limit=amount)


def delete(content_id: str, user: str = "anna") -> DeleteContent:
    return DeleteContent(user=user, content_id=content_id)


def now(scenario: Scenario, user: str = "anna") -> StorageUse:
    found: StorageUse = scenario.ask(StorageNow(user=user, default_limit=GB))
    return found


def pro(storage_limit: int | None) -> PlanChosen:
    return PlanChosen(plan="pro", plan_version=1, tokens={}, credits=0, storage_limit=storage_limit, anchor=NOW)

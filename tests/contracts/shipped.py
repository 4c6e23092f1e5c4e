"""The cases that the library eventsourcing ships for recorders, for both views of a log."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.persistence import AggregateRecorder, StoredEvent
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)

from infra.log.recorder import EventLog, OrganisationLog, PartitionLog
from infra.partitions import partition_of
from tests.contracts.cases import ORG


class OfOrganisation:
    """A log that a fixture of the subclass gives: the shipped cases know no fixtures."""

    log: EventLog

    def view(self) -> OrganisationLog | PartitionLog:
        return self.log.organisation(ORG)


class OfPartition(OfOrganisation):
    """The same with a partition, where an id says whose it is."""

    def view(self) -> PartitionLog:
        return self.log.partition(partition_of(ORG, self.log.partitions))

    def new_originator_id(self) -> UUID | str:
        return f"{ORG}/order/{uuid4()}"


class TextIds:
    """Ids that are texts, in place of UUIDs."""

    def new_originator_id(self) -> UUID | str:
        return f"order-{uuid4()}"


class StreamRecorder(AggregateRecorder):
    """The part of a view that the library's case for aggregates knows: there, an insert returns nothing."""

    def __init__(self, view: OrganisationLog | PartitionLog) -> None:
        self._view = view

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> None:
        self._view.insert_events(stored_events)

    def select_events(self, originator_id: UUID | str, **wanted: Any) -> Sequence[StoredEvent]:
        return self._view.select_events(originator_id, **wanted)


class Streams(OfOrganisation, AggregateRecorderTestCase):
    """Events by stream."""

    __test__ = False

    def create_recorder(self) -> StreamRecorder:
        return StreamRecorder(self.view())


class Notifications(OfOrganisation, ApplicationRecorderTestCase[Any]):
    """Events by stream and in the order of all; ten threads write side by side."""

    __test__ = False

    def create_recorder(self) -> OrganisationLog | PartitionLog:
        return self.view()

    def test_insert_subscribe(self) -> None:
        """The case that the library leaves to those who have subscriptions."""
        self.optional_test_insert_subscribe()


class NotInterleaved(OfOrganisation, NonInterleavingNotificationIDsBaseCase):
    """Two large inserts at once: one is wholly before the other."""

    __test__ = False

    def create_recorder(self) -> OrganisationLog | PartitionLog:
        return self.view()

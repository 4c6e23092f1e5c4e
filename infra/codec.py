"""Events to bytes and back. Stored type names are explicit and versioned, so classes may move and be renamed."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from domain.budgets import events as budget
from domain.credits import events as credit
from domain.generations import events as generation
from domain.groups import events as group
from domain.organisations import events as organisation
from domain.plans import events as plan
from domain.prices import events as price
from domain.quotas import events as quota
from domain.storage import events as storage

EVENT_TYPES: dict[str, type] = {
    "grant-scheduled.v1": credit.GrantScheduled,
    "credits-granted.v1": credit.CreditsGranted,
    "grant-voided.v1": credit.GrantVoided,
    "grant-expired.v1": credit.GrantExpired,
    "credits-reserved.v1": credit.CreditsReserved,
    "reservation-extended.v1": credit.ReservationExtended,
    "reservation-captured.v1": credit.ReservationCaptured,
    "reservation-released.v1": credit.ReservationReleased,
    "reservation-expired.v1": credit.ReservationExpired,
    "credits-debited.v1": credit.CreditsDebited,
    "credits-refunded.v1": credit.CreditsRefunded,
    "credits-transferred-out.v1": credit.CreditsTransferredOut,
    "credits-transferred-in.v1": credit.CreditsTransferredIn,
    "account-configured.v1": credit.AccountConfigured,
    "allowance-set.v1": credit.AllowanceSet,
    "allowance-granted.v1": credit.AllowanceGranted,
    "shortfall-recorded.v1": credit.ShortfallRecorded,
    "shortfall-collected.v1": credit.ShortfallCollected,
    "shortfall-written-off.v1": credit.ShortfallWrittenOff,
    "prices-published.v1": price.PricesPublished,
    "period-started.v1": quota.PeriodStarted,
    "period-ended.v1": quota.PeriodEnded,
    "use-held.v1": quota.UseHeld,
    "use-extended.v1": quota.UseExtended,
    "use-settled.v1": quota.UseSettled,
    "use-released.v1": quota.UseReleased,
    "use-expired.v1": quota.UseExpired,
    "use-counted.v1": quota.UseCounted,
    "use-given-back.v1": quota.UseGivenBack,
    "content-stored.v1": storage.ContentStored,
    "content-deleted.v1": storage.ContentDeleted,
    "storage-limit-set.v1": storage.StorageLimitSet,
    "group-created.v1": group.GroupCreated,
    "group-edited.v1": group.GroupEdited,
    "group-deleted.v1": group.GroupDeleted,
    "members-added.v1": group.MembersAdded,
    "members-removed.v1": group.MembersRemoved,
    "group-joined.v1": group.GroupJoined,
    "group-left.v1": group.GroupLeft,
    "budget-set.v1": budget.BudgetSet,
    "cost-recorded.v1": budget.CostRecorded,
    "organisation-configured.v1": organisation.OrganisationConfigured,
    "plan-chosen.v1": organisation.PlanChosen,
    "plan-ended.v1": organisation.PlanEnded,
    "plan-published.v1": plan.PlanPublished,
    "features-published.v1": plan.FeaturesPublished,
    "packages-published.v1": plan.PackagesPublished,
    "purchase-started.v1": plan.PurchaseStarted,
    "purchase-completed.v1": plan.PurchaseCompleted,
    "purchase-failed.v1": plan.PurchaseFailed,
    "generation-held.v1": generation.GenerationHeld,
    "generation-refused.v1": generation.GenerationRefused,
    "generation-started.v1": generation.GenerationStarted,
    "generation-extended.v1": generation.GenerationExtended,
    "generation-part-completed.v1": generation.GenerationPartCompleted,
    "generation-completed.v1": generation.GenerationCompleted,
    "generation-settled-late.v1": generation.GenerationSettledLate,
    "generation-failed.v1": generation.GenerationFailed,
    "generation-cancelled.v1": generation.GenerationCancelled,
    "generation-expired.v1": generation.GenerationExpired,
    "generation-refunded.v1": generation.GenerationRefunded,
}

Upcaster = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]
# An old type name -> its successor's name and data, applied until a known name comes.
UPCASTERS: dict[str, Upcaster] = {}


class UnknownEventType(LookupError):
    """A stored type name that this version of the code does not know: it must not be skipped."""


class _Envelope(msgspec.Struct):
    actor: str
    cause: str
    data: msgspec.Raw


class Codec:
    """Encodes what happened with who did it and why, and decodes every version that was ever stored."""

    def __init__(self, types: Mapping[str, type] = EVENT_TYPES, upcasters: Mapping[str, Upcaster] = UPCASTERS) -> None:
        self._names = {cls: name for name, cls in types.items()}
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {
            name: msgspec.json.Decoder(cls) for name, cls in types.items()
        }
        self._upcasters = upcasters
        self._encoder = msgspec.json.Encoder()
        self._envelope = msgspec.json.Decoder(_Envelope)

    def encode(self, event: Any, actor: str, cause: str) -> tuple[str, bytes]:
        """The stored type name and bytes: JSON with `actor` (who), `cause` (the command's key) and `data`."""
        return self._names[type(event)], self._encoder.encode({"actor": actor, "cause": cause, "data": event})

    def decode(self, type_: str, stored: bytes) -> Any:
        """The event in its newest form.

        Raises UnknownEventType; msgspec.DecodeError where the bytes are not what the type says.
        """
        raw = self._envelope.decode(stored).data
        decoder = self._decoders.get(type_)
        if decoder is not None:
            return decoder.decode(raw)
        return self._upcast(type_, msgspec.json.decode(raw))

    def cause(self, stored: bytes) -> str:
        """The key of the command that caused the event."""
        return self._envelope.decode(stored).cause

    def _upcast(self, type_: str, data: dict[str, Any]) -> Any:
        while type_ in self._upcasters:
            type_, data = self._upcasters[type_](data)
            if type_ in self._decoders:
                return self._decoders[type_].decode(msgspec.json.encode(data))
        raise UnknownEventType(f"the event type {type_} is unknown to this version of Scrip")

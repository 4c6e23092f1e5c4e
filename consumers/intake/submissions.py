"""Between usage events and the ledger: whose account, which submission, and what a refusal means."""

from collections.abc import Iterable, Mapping
from typing import Any

from consumers.intake.lookup import Work, WorkKey
from consumers.intake.record import Rejected, UsageEvent, rejected
from consumers.usage import Completed, Metered, Started
from domain.credits.address import parse_address
from infra.quarantine import CALLER
from infra.writer.submission import KeyReused, Outcome, Submission


def named(items: Iterable[UsageEvent]) -> set[WorkKey]:
    """The generations and reservations that the events are about."""
    return {(item.event.org, item.data.generation_id) for item in items if isinstance(item.data, Started | Completed)}


def work_of_item(item: UsageEvent, works: Mapping[WorkKey, Work]) -> Work | None:
    """What the event is about; none where `works` does not know the generation or reservation."""
    if isinstance(item.data, Metered):
        return Work(parse_address(item.data.account).owner, item.data.account)
    return works.get((item.event.org, item.data.generation_id))


def submission_of(item: UsageEvent, command: Any) -> Submission:
    """Its identity makes the command's; a refusal is not kept, so that the event may be tried again."""
    return Submission(
        org=item.event.org,
        command=command,
        actor=item.actor,
        caller=CALLER + item.event.source,
        key=item.event.id,
        fingerprint=item.fingerprint,
        keep_refusals=False,
    )


def harmless(item: UsageEvent, result: Any) -> bool:
    """Whether a refusal changes nothing: a worker that was restarted says once more that it has begun."""
    refusal = result.refusal if isinstance(result, Outcome) else None
    return isinstance(item.data, Started) and refusal is not None and refusal.code == "already_started"


def refusal_of(item: UsageEvent, submission: Submission, result: Any) -> Rejected:
    """A result that is no acceptance, as quarantine keeps it."""
    if isinstance(result, Outcome) and result.refusal is not None:
        return rejected(item, result.refusal.code, result.refusal.detail)
    if isinstance(result, KeyReused):
        return reused(item)
    return rejected(item, "internal_error", f"{type(submission.command).__name__} failed: {type(result).__name__}")


def reused(item: UsageEvent) -> Rejected:
    """The ledger or quarantine knows another content under this identity."""
    return rejected(item, "id_reused", "another content was sent under this source and id before", for_good=True)

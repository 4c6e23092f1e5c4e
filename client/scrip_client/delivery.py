"""Settlements on their way: sent until they have arrived, and sent again at the next start where a worker crashed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from scrip_client.answers import Settlement
from scrip_client.calls import generation_path, post
from scrip_client.errors import Conflict, Forbidden, RateLimited, ScripError, Unauthenticated, Unavailable
from scrip_client.errors import UnexpectedAnswer as Unexpected
from scrip_client.journal import Journal, Owed
from scrip_client.settling import Report, failure
from scrip_client.steps import Steps, Write, new_key, perform, publish
from scrip_client.terms import Terms

_log = logging.getLogger(__name__)

# No answer to what was reported: another login or another time may still bring it there.
UNDELIVERED = (Unavailable, Unauthenticated, Forbidden, RateLimited, Unexpected)
ENDED = "generation_ended"


@dataclass(slots=True)
class Recovered:
    """What became of earlier work, by generation id.

    `settled` as reported; `returned`: its worker died before it had an outcome, all is given back; `refused` with the
    reason; `waiting`: Scrip cannot be reached, they stay in the journal.
    """

    settled: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)


def write(journal: Journal | None, act: Callable[[Journal], None]) -> Steps[None]:
    """A line of the journal, where there is one. A disk that fails must not keep a settlement from being sent."""
    if journal is None:
        return
    try:
        yield Write(partial(act, journal))
    except OSError:
        _log.exception("the journal cannot be written; what is sent now would not be sent again after a crash")


def deliver(terms: Terms, report: Report) -> Steps[Settlement | None]:
    """Send one settlement until it has arrived: what it came to, None over Kafka. Raises ScripError."""
    record = terms.message(report)
    if record is not None:
        yield from publish(record, terms.patience_s)
        return None
    call = post(generation_path(report.generation_id, report.action), Settlement, report.body, report.key)
    return (yield from perform(call, terms.patience_s, insist=True))


def recover(terms: Terms) -> Steps[Recovered]:
    """Send what the journal has left. Raises nothing for one that is refused; stops where Scrip cannot be reached."""
    found, journal = Recovered(), terms.journal
    if journal is None:
        return found
    for owed in list(journal.left.values()):
        if journal.left.pop(owed.generation_id, None) is None:
            continue  # somebody else is at it
        try:
            yield from _make_good(terms, journal, owed, found)
        except UNDELIVERED as error:
            journal.left[owed.generation_id] = owed  # behind the others, so that it cannot keep them back for ever
            found.waiting = list(journal.left)
            _log.warning("%d settlements stay in the journal: %s", len(found.waiting), error)
            break
        except BaseException:
            journal.left[owed.generation_id] = owed
            raise
    return found


def _make_good(terms: Terms, journal: Journal, owed: Owed, found: Recovered) -> Steps[None]:
    reports = list(owed.reports.values())
    reported = any(report.final for report in reports)
    if not reported and terms.abandoned is not None:
        message = "The worker ended before the generation had an outcome."
        reports.append(Report(owed.generation_id, new_key(), "fail", failure(terms.abandoned, message)))
    for report in reports:
        code = yield from _again(terms, report)
        if code is not None and reported:
            found.refused[owed.generation_id] = code
            _log.warning("the settlement of %s was refused: %s", owed.generation_id, code)
        elif code is None and report.final:
            (found.settled if reported else found.returned).append(owed.generation_id)
        yield from write(journal, partial(Journal.sent, report=report))
    yield from write(journal, partial(Journal.closed, generation_id=owed.generation_id))


def _again(terms: Terms, report: Report) -> Steps[str | None]:
    """Send once more: None when it has arrived, now or before the crash; else the code of the refusal.

    A code of a generation that never had an outcome is nothing to worry about: the crash came before its request.
    """
    try:
        yield from deliver(terms, report)
    except UNDELIVERED:
        raise
    except Conflict as error:
        has_it = report.action == "fail" or error.facts.get("outcome") in ("completed", "settled_late")
        return None if error.code == ENDED and has_it else error.code
    except ScripError as error:
        return error.code
    return None

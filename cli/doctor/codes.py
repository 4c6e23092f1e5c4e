"""What the doctor finds: codes, each an anchor of docs/runbook.md, with what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class Code(NamedTuple):
    """One sentence each."""

    meaning: str
    action: str


CODES: dict[str, Code] = {
    # Settings
    "keys-missing": Code(
        "Tokens or idempotency keys could be forged.",
        "Set the variable that is named to at least 32 random bytes, the same in every API process.",
    ),
    "setting-wrong": Code("A role that needs this setting will not start.", "Set the variable that is named."),
    "kafka-misconfigured": Code("No role can reach Kafka.", "Correct the SCRIP_KAFKA… variable that is named."),
    "payments-misconfigured": Code("Purchases could not be trusted.", "Correct the SCRIP_PAYMENTS… variable."),
    "development-login": Code(
        "Whoever reaches this port signs in as anybody.",
        "Set SCRIP_DEVELOPMENT_LOGIN=false and the SCRIP_OIDC_… variables.",
    ),
    "unauthenticated": Code(
        "Tokens of the identity provider cannot be checked, so nobody gets in with one.",
        "Make SCRIP_JWKS_URL reachable from the API.",
    ),
    # PostgreSQL
    "postgres-away": Code("No command can be decided.", "Start PostgreSQL, or correct the URI and its password."),
    "postgres-not-durable": Code(
        "What was acknowledged could be lost.", "Switch the setting on and restart PostgreSQL."
    ),
    "login-rights": Code(
        "A login could change history or see what is not its own.",
        "Give each role its own login, as `scrip prepare` makes them.",
    ),
    "login-settings": Code(
        "Somebody who has this login's password has set what its next sessions begin with.",
        "Find out who; `scrip prepare`, or a restart of `scrip up`, takes it back and sets the password anew.",
    ),
    "open-to-all": Code(
        "Whoever has any login of the server could hold up rebuilds and alerts, or fill the disk.",
        "Have a superuser close it, as the runbook says; a managed PostgreSQL may not let you.",
    ),
    "row-level-security": Code(
        "One organisation could see another's events.", "Apply the migrations: `scrip prepare` with SCRIP_OWNER_URL."
    ),
    "log-missing": Code("The database holds no log.", "Apply the migrations: `scrip prepare` with SCRIP_OWNER_URL."),
    "partitions-differ": Code("The number of partitions is fixed.", "Set SCRIP_PARTITIONS to the log's own number."),
    "migrations-missing": Code(
        "The database is older than this version of Scrip.", "Apply the migrations: `scrip prepare`."
    ),
    "clock-skew": Code(
        "Tokens are refused although they are valid, or taken after their end.",
        "Let both machines follow a time server.",
    ),
    "disk-full": Code(
        "Commands are refused while PostgreSQL's disk is full; nothing is published while Kafka's is.",
        "Make room, or give the folder a larger disk; everything goes on by itself.",
    ),
    "server-does-not-start": Code(
        "The service is not there to be examined.", "Do what the sentence says, and look into the log beside the data."
    ),
    # Kafka
    "kafka-away": Code(
        "Events are kept in PostgreSQL, and nothing is published or projected.", "Start Kafka, or correct SCRIP_KAFKA."
    ),
    "topic-missing": Code("Events cannot be published.", "Create the topics: `scrip prepare`."),
    "topic-settings": Code(
        "The topic would forget or lose events.", "Change the setting on the broker to the value that is named."
    ),
    "topic-faults": Code(
        "Something else than the relay wrote to the ledger's topic, or events are missing there.",
        "Find out who may write to it; then acknowledge it: `POST /api/v1/topic-faults/acknowledge`.",
    ),
    # Processes
    "api-down": Code("Nothing new can be held.", "Start the API and look at its last lines."),
    "role-down": Code("What this role does stands still; nothing is lost.", "Start it and look at its last lines."),
    "role-hung": Code(
        "A role or server gave no sign of life, so `scrip up` ended it and started it again; nothing is lost.",
        "Look at its last lines before that moment, and at what else kept the machine busy.",
    ),
    "relay-inactive": Code(
        "No relay publishes, so Kafka and the read models stand still.",
        "Start `scrip relay` and look at its last lines.",
    ),
    "relay-stopped": Code(
        "Kafka and the read models stand still in this partition; the other partitions go on, and nothing is lost.",
        "Where the event is too large for Kafka, `scrip unblock`; else do what the reason says.",
    ),
    "notifier-inactive": Code("Alerts come late.", "Start `scrip notifier` and look at its last lines."),
    "read-models-lag": Code(
        "Lists, dashboards and usage logs are old; balances and checks are not.",
        "Look whether relay and projector run.",
    ),
    "read-models-stopped": Code(
        "The projector met an event that it cannot apply.", "Install the version that wrote it, then `scrip rebuild`."
    ),
    "read-models-missing": Code("Lists cannot be read.", "Start `scrip projector`: it makes them."),
    "read-models-old": Code(
        "The read models are of another version than this program.",
        "Restart the projector, which makes them anew, or run `scrip rebuild`.",
    ),
    "rebuild-failed": Code("The former read models serve on.", "Read the reason, then `scrip rebuild`."),
    # The ledger's own condition
    "holds-overdue": Code(
        "Holds that have ended are not written as ended; balances are right all the same.", "Start `scrip sweeper`."
    ),
    "oldest-hold": Code(
        "Credits are in progress for more than a day.", "Ask who holds it; fail or release it if nobody works on it."
    ),
    "quarantine": Code(
        "Work was reported that could not be applied: it is not charged.",
        "Go through the reasons, correct them, and retry.",
    ),
    "usage-not-counted": Code(
        "What workers report is not applied, so nothing is charged or counted.",
        "Start `scrip intake` and look at its last lines.",
    ),
    "usage-lag": Code(
        "What workers report is applied late; generations stay held for longer than they took.",
        "Start a second `scrip intake`, and look whether commits are slow.",
    ),
    "consumer-stalled": Code(
        "Records wait and are not read: what they report is not charged, counted or shown.",
        "Restart the role that the group belongs to and look at its last lines.",
    ),
    "unpriced": Code("A model without a price is refused.", "Publish a price for it."),
    "no-prices": Code(
        "The price book is empty: everything that names a model is refused.", "Publish prices: `PUT /api/v1/prices`."
    ),
    "limits-not-enforced": Code(
        "Groups have limits that this organisation does not enforce.",
        "Add `groups` to the organisation's `enforce`, or delete the limits.",
    ),
    "out-of-tokens-on-a-plan": Code(
        "The organisation is on a plan and has nothing of what it grants.",
        "Choose the plan again, so that its current terms apply, or renew a prepaid one.",
    ),
    "alerts-unpublished": Code("Alerts wait to be published.", "Look whether Kafka and the notifier run."),
    "deliveries-wait": Code("Webhook deliveries wait.", "Look whether the notifier runs and receivers answer."),
    "webhooks-disabled": Code(
        "A receiver failed for so long that it gets nothing any more.",
        "Let the receiver be repaired, then enable the webhook and resend.",
    ),
    "verify-does-not-hold": Code(
        "Log, topic or read models are not as they must be.", "Run `scrip verify` and follow the runbook."
    ),
    "verify-old": Code("Nobody has checked the chain for a week.", "Run `scrip verify`."),
}


class Severity(StrEnum):
    """`wrong`: something does not work or could lose credits. `look`: an operator should look at it."""

    WRONG = "wrong"
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; `seen` is one sentence with the figures."""

    code: str
    seen: str
    severity: Severity = Severity.WRONG

    def as_json(self) -> dict[str, Any]:
        known = CODES[self.code]
        return {
            "code": self.code,
            "severity": self.severity.value,
            "seen": self.seen,
            "meaning": known.meaning,
            "action": known.action,
            "runbook": f"docs/runbook.md#{self.code}",
        }


def look(code: str, seen: str) -> Finding:
    """A finding that an operator should look at."""
    return Finding(code, seen, Severity.LOOK)

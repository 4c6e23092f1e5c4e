"""Read models `organisations`, with their settings and plan; and the `settings` of users and models."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never, get_args

from domain.organisations.events import Billing, OrganisationConfigured, OrganisationEvent, PlanChosen, PlanEnded
from domain.organisations.state import STARTER, Organisation
from domain.settings.setting import SettingsChanged, Values
from projections.facts import Fact
from projections.read_model import EVERY, Due, Int4, ReadModel, State, Words

Rules = dict[str, dict[str, int | bool]]
_PLATFORMS = frozenset({"prices", "plans"})  # streams that make no organisation


@dataclass(slots=True)
class OrganisationRow:
    """One row for each organisation, from its first event on. Settings are the defaults until they are configured:
    `enforce` and `pay_from` are lists (a resource that came after `enforce` was set is checked too),
    `settlement_policy` percent by outcome, `alert_rules` thresholds by rule where they differ from the defaults.
    `settings` and `plan_settings`: those that are set, by name. `tokens`: allowance per token type and cycle;
    `storage_limit`: bytes for each user.
    `version`, `position`, `updated_at`: the last event about the organisation itself (0 where there was none).
    """

    org: str
    time_zone: Words
    enforce: list[str]
    pay_from: list[str]
    over_actual: str
    settlement_policy: dict[str, int]
    alert_rules: Rules
    settings: Values
    plan: str
    plan_version: Int4
    tokens: dict[str, int]
    credits: int
    storage_limit: int | None
    anchor: datetime | None
    billing: str
    paid_until: datetime | None
    plan_settings: Values
    created_at: datetime
    version: int
    position: int
    updated_at: datetime


def opened(fact: Fact) -> OrganisationRow:
    """The row of an organisation at its first event: the defaults."""
    new = Organisation()
    return OrganisationRow(
        fact.org, new.time_zone, [str(resource) for resource in new.enforce], list(new.pay_from),
        str(new.over_actual), {}, {}, {}, new.plan, new.plan_version, new.tokens, new.credits, new.storage_limit,
        new.anchor, str(new.billing), new.paid_until, {}, fact.time, 0, 0, fact.time,
    )  # fmt: skip


def apply(row: OrganisationRow, event: OrganisationEvent) -> None:
    """Fold one event about the organisation itself."""
    match event:
        case OrganisationConfigured():
            row.time_zone, row.over_actual = event.time_zone, str(event.over_actual)
            row.enforce, row.pay_from = [str(resource) for resource in event.enforce], list(event.pay_from)
            row.settlement_policy = {str(outcome): percent for outcome, percent in event.settlement_policy.items()}
            row.alert_rules, row.settings = event.alert_rules, event.settings
        case PlanChosen():
            row.plan, row.plan_version, row.tokens = event.plan, event.plan_version, event.tokens
            row.credits, row.storage_limit, row.anchor = event.credits, event.storage_limit, event.anchor
            row.billing, row.paid_until, row.plan_settings = str(event.billing), event.paid_until, event.settings
        case PlanEnded():
            row.plan, row.plan_version, row.tokens = STARTER, 0, {}
            row.credits, row.storage_limit = 0, None
            row.billing, row.paid_until, row.plan_settings = str(Billing.MONTHLY), None, {}
        case _:
            assert_never(event)


def fold_organisation(state: State, fact: Fact) -> None:
    """Any first event makes the row. Raises CannotApply where one about the organisation is not the next."""
    rows, key = state.rows(ORGANISATIONS), (fact.org,)
    if key not in rows and fact.kind not in _PLATFORMS:
        rows.begin(key, opened(fact))
    if fact.kind == "organisation":
        apply(state.next_row(ORGANISATIONS, key, fact, opened), fact.event)


ORGANISATIONS: ReadModel[OrganisationRow] = ReadModel(
    name="organisations",
    row=OrganisationRow,
    key=("org",),
    events={EVERY: (object,), "organisation": get_args(OrganisationEvent)},
    fold=fold_organisation,
    needs=lambda needed, fact: needed.row(ORGANISATIONS, (fact.org,)),
    stream="'organisation'",
    due=(Due("paid_until", "paid_until is not null"),),
    fillfactor=80,
)


@dataclass(slots=True)
class SettingsRow:
    """One row for each user and model whose settings were ever changed. `owner`: user or model. `id`: a model's is in
    lower case. `settings`: by name, those that are set.
    """

    org: str
    owner: str
    id: str
    settings: Values
    version: int
    position: int
    updated_at: datetime


def fold_settings(state: State, fact: Fact) -> None:
    """Raises CannotApply where `fact` is not the next event."""
    key = _key(fact)
    row = state.next_row(SETTINGS, key, fact, lambda first: SettingsRow(*key, {}, 0, 0, first.time))
    row.settings = fact.event.settings


def _key(fact: Fact) -> tuple[str, str, str]:
    owner, _, id_ = fact.id.partition("/")
    return fact.org, owner, id_


SETTINGS: ReadModel[SettingsRow] = ReadModel(
    name="settings",
    row=SettingsRow,
    key=("org", "owner", "id"),
    events={"settings": (SettingsChanged,)},
    fold=fold_settings,
    needs=lambda needed, fact: needed.row(SETTINGS, _key(fact)),
    fillfactor=70,
)

"""Change an organisation's settings."""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from zoneinfo import available_timezones

from domain.ids import ID
from domain.kernel.work import Work
from domain.organisations.events import OrganisationConfigured, Outcome, OverActual
from domain.organisations.refusals import InvalidSetting
from domain.organisations.state import STREAM, Organisation, organisation_of
from domain.refusal import StaleVersion
from domain.resources.table import Resources, table
from domain.settings.change import Given, changed
from domain.settings.setting import Owner

MAX_PAYERS = 5
MAX_ALERT_RULES = 50
MAX_THRESHOLD = 10**12
PAYER = re.compile(rf"user:\{{user\}}|org:\{{org\}}|group:(?!\.{{1,2}}$){ID.pattern}")

AlertRules = dict[str, dict[str, int | bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureOrganisation:
    """What is none stays as it is; what is given replaces the setting as a whole.

    `time_zone`: a name of the IANA database. `enforce`: names of resources, in any number. `pay_from`: 1 to 5 of
    `user:{user}`, `org:{org}` and `group:<id>`, in the order in which they pay. `settlement_policy`: percent (0 to
    100) of the reported use or the hold, by `Outcome`. `alert_rules`: thresholds (0 to 10^12) by rule, at most 50
    rules. `settings`: changes of those that resources declare. `expected`: the settings as the caller has read them,
    where it wants to overwrite only those.
    """

    time_zone: str | None = None
    enforce: tuple[str, ...] | None = None
    pay_from: tuple[str, ...] | None = None
    over_actual: str | None = None
    settlement_policy: dict[str, int] | None = None
    alert_rules: AlertRules | None = None
    settings: Given = field(default_factory=dict)
    expected: OrganisationConfigured | None = None


def settings_of(organisation: Organisation) -> OrganisationConfigured:
    """All settings as they are, defaults included."""
    return OrganisationConfigured(
        time_zone=organisation.time_zone,
        enforce=organisation.enforce,
        pay_from=organisation.pay_from,
        over_actual=organisation.over_actual,
        settlement_policy=organisation.settlement_policy,
        alert_rules=organisation.alert_rules,
        known=organisation.known,
        settings=organisation.settings,
    )


def configure(work: Work, command: ConfigureOrganisation) -> None:
    """The settings, all of them, as they are from now on. Raises StaleVersion, InvalidSetting,
    NotCounted.
    """
    current = settings_of(organisation_of(work))
    if command.expected is not None and command.expected != current:
        raise StaleVersion(what="organisation", current="changed")
    configured = OrganisationConfigured(
        time_zone=current.time_zone if command.time_zone is None else _time_zone(command.time_zone),
        enforce=current.enforce if command.enforce is None else _resources(table(work), command.enforce),
        pay_from=current.pay_from if command.pay_from is None else _payers(command.pay_from),
        over_actual=current.over_actual if command.over_actual is None else _over_actual(command.over_actual),
        settlement_policy=(
            current.settlement_policy
            if command.settlement_policy is None
            else _settlement_policy(command.settlement_policy)
        ),
        alert_rules=current.alert_rules if command.alert_rules is None else _alert_rules(command.alert_rules),
        known=current.known if command.enforce is None else table(work).enforceable,
        settings=changed(work, Owner.ORGANISATION, current.settings, command.settings),
    )
    work.emit(STREAM, configured)


def _time_zone(name: str) -> str:
    """A zone of the IANA database: every client knows it, and it means the same on every machine."""
    if name not in _time_zones():
        near = get_close_matches(name, _time_zones(), 1)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise InvalidSetting("time_zone", f"there is no time zone {name}{hint}")
    return name


@cache
def _time_zones() -> frozenset[str]:
    """Without names that are a machine's own (`localtime`) and those of no place (`Factory`, `posixrules`)."""
    return frozenset(name for name in available_timezones() if name[:1].isupper()) - {"Factory"}


def _resources(resources: Resources, names: tuple[str, ...]) -> tuple[str, ...]:
    """In the order of the table, each once."""
    for name in names:
        if name not in resources.enforceable:
            known = ", ".join(resources.enforceable)
            raise InvalidSetting("enforce", f"there is no {name}; known are {known}")
    return tuple(name for name in resources.enforceable if name in names)


def _payers(templates: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(templates) <= MAX_PAYERS:
        raise InvalidSetting("pay_from", f"must name 1 to {MAX_PAYERS} payers", MAX_PAYERS)
    for template in templates:
        if not PAYER.fullmatch(template):
            raise InvalidSetting("pay_from", f"{template} is none of user:{{user}}, org:{{org}}, group:<id>")
    if len(set(templates)) < len(templates):
        raise InvalidSetting("pay_from", "must name each payer once")
    return templates


def _over_actual(name: str) -> OverActual:
    if name not in set(OverActual):
        raise InvalidSetting("over_actual", f"must be one of {', '.join(OverActual)}")
    return OverActual(name)


def _settlement_policy(percents: dict[str, int]) -> dict[Outcome, int]:
    for name, percent in percents.items():
        if name not in set(Outcome):
            raise InvalidSetting("settlement_policy", f"there is no outcome {name}; known are {', '.join(Outcome)}")
        if not 0 <= percent <= 100:
            raise InvalidSetting(f"settlement_policy.{name}", "must be 0 to 100 percent", 100)
    return {outcome: percents[outcome] for outcome in Outcome if outcome in percents}


def _alert_rules(rules: AlertRules) -> AlertRules:
    if len(rules) > MAX_ALERT_RULES:
        raise InvalidSetting("alert_rules", f"at most {MAX_ALERT_RULES} are allowed", MAX_ALERT_RULES)
    for rule, thresholds in rules.items():
        for name, value in thresholds.items():
            if not 0 <= value <= MAX_THRESHOLD:
                raise InvalidSetting(f"alert_rules.{rule}.{name}", "must be 0 to 10^12", MAX_THRESHOLD)
    return rules

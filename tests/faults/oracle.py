"""What must hold after a campaign, whatever was killed."""

import time
from collections import Counter

import psycopg

from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.registry import SCRIP
from infra.audit.verify import verify
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.log.statements import COLUMNS, CommandRow
from infra.partitions import partition_of
from infra.position import parse_position
from infra.quarantine import CALLER
from infra.settings import Settings
from tests.faults.clients import SOURCE
from tests.faults.history import FAIL, OK, History, Told
from tests.waiting import patient

SETTLED_S = patient(60.0)


class Log:
    """The log and the idempotency rows, read with the owner's rights."""

    def __init__(self, settings: Settings) -> None:
        with psycopg.connect(settings.owner_url.get_secret_value()) as connection:
            rows = connection.execute(f"select {COLUMNS} from events order by partition, position")
            self.events = {(event.partition, event.position): event for event in map(LedgerEvent._make, rows)}
            fields = ", ".join(CommandRow._fields)
            found = connection.execute(f"select {fields} from commands where caller not like 'platform:%'")
            self.commands: dict[tuple[str, str], list[CommandRow]] = {}
            for command in map(CommandRow._make, found):
                self.commands.setdefault((command.org, command.key), []).append(command)
            ((self.partitions,),) = connection.execute("select partitions from log").fetchall()
        codec = LedgerMapper.of(SCRIP)
        self.causes = {place: codec.cause(event.data) for place, event in self.events.items()}
        self.effects = Counter((event.org, self.causes[place], event.type) for place, event in self.events.items())
        self.accounts: dict[tuple[str, str], Account] = {}
        for event in self.events.values():
            kind = SCRIP.kind_of(event.stream)
            state = self.accounts.get((event.org, event.stream), kind.initial)
            self.accounts[event.org, event.stream] = kind.evolve(state, codec.decode(event.type, event.data))

    @property
    def holds(self) -> int:
        """How many are open, of all accounts."""
        return sum(len(state.holds) for state in self.accounts.values() if isinstance(state, Account))


def wait_until_settled(settings: Settings, history: History) -> None:
    """Until every usage event is decided and no hold is open any more, in the log as in the read models."""
    sent = {told.operation.key for told in history if not told.operation.path.startswith("/")}
    end = time.monotonic() + SETTLED_S
    while True:
        with psycopg.connect(settings.owner_url.get_secret_value()) as connection:
            decided = {
                row[0] for row in connection.execute("select key from commands where caller = %s", (CALLER + SOURCE,))
            }
            ((parked,),) = connection.execute("select count(*) from quarantine where resolved_at is null").fetchall()
            ((held,),) = connection.execute("select count(*) from read.reservations where status = 'held'").fetchall()
        assert parked == 0, "a usage event could not be applied"
        if sent <= decided and held == 0:
            held = Log(settings).holds  # the read model may not know of the last ones yet
            if held == 0:
                return
        assert time.monotonic() < end, f"{len(sent - decided)} usage events are undecided, {held} holds are open"
        time.sleep(0.1)


async def check(settings: Settings, history: History, expected: dict[tuple[str, str], int]) -> dict[str, int]:
    """Everything; returns what was checked, with counts. Raises AssertionError at the first thing that is wrong."""
    log = Log(settings)
    for told in history:
        _once(log, told)
    _nothing_else(log, history)
    for (org, account), available in expected.items():
        state = log.accounts[org, stream_of(account)]
        assert (state.available, state.reserved, len(state.holds)) == (available, 0, 0), (org, account)
    report = await verify(settings, SCRIP.resources.kinds)
    assert report.ok, "; ".join(f"{part.name}: {part.difference}" for part in report.sections if not part.ok)
    states = Counter(told.state for told in history)
    return {
        "operations": len(history.told),
        "accepted": states[OK],
        "refused": states[FAIL],
        "attempts without an answer": sum(told.attempts - 1 for told in history),
        "events": len(log.events),
    }


def _once(log: Log, told: Told) -> None:
    """What was acknowledged is there exactly once; what was refused is not there."""
    asked = told.operation
    assert told.state in {OK, FAIL}, told
    effects = log.effects[asked.org, asked.key, asked.effect]
    rows = log.commands.get((asked.org, asked.key), [])
    assert len(rows) == 1, (told, rows)
    if told.state == FAIL:
        assert effects == 0, told
        assert rows[0].refusal is not None, told
        return
    assert effects == 1, (told, effects)
    assert rows[0].refusal is None, told
    if "position" in told.answer:
        place = (partition_of(asked.org, log.partitions), parse_position(told.answer["position"]))
        assert log.causes[place] == asked.key, (told, log.events[place])
        assert place[1] == rows[0].position, (told, rows)
    assert _amount_of(log, rows[0], asked.effect) == asked.amount, told


def _amount_of(log: Log, row: CommandRow, effect: str) -> int:
    codec = LedgerMapper.of(SCRIP)
    own = [log.events[row.partition, at] for at in range(row.position - row.events + 1, row.position + 1)]
    (event,) = (codec.decode(one.type, one.data) for one in own if one.type == effect)
    return int(event.grant.amount if hasattr(event, "grant") else event.amount)


def _nothing_else(log: Log, history: History) -> None:
    """No event that nobody asked for, beside what time alone brings about."""
    asked = {(told.operation.org, told.operation.key, told.operation.effect) for told in history}
    asked |= {(org, key, "credits-transferred-in.v1") for org, key, effect in asked if effect.endswith("-out.v1")}
    for org, cause, type_ in log.effects:
        due = type_ == "reservation-expired.v1"
        offer = type_ in {"prices-published.v1", "features-published.v1"}
        assert due or offer or (org, cause, type_) in asked, (org, cause, type_)

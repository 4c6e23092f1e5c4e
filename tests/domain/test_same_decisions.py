"""The same commands lead to the same events, answers, refusals and states as ever, byte for byte.

One digest for each seed: over all that two organisations decide in a long random life. Where one differs, print what
is put into it on both sides and compare: `_Told.said` is where it all goes through. A digest changes only together
with a decision that was changed on purpose.
"""

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from domain.credits.account import Account
from domain.generations.commands import ConfirmGeneration
from domain.generations.create import CreateGeneration
from domain.generations.events import Content, GenerationSettledLate
from domain.generations.handlers import AssessGeneration
from domain.generations.refund import RefundGeneration
from domain.generations.request import Request
from domain.generations.settlement import Reported
from domain.groups.commands import CreateGroup, EditGroup
from domain.kernel.execution import Decided
from domain.kernel.holds import Holds
from domain.kernel.order import Order
from domain.organisations.commands import ConfigureOrganisation
from domain.periods import NEVER, Every
from domain.plans.deduct import TokensNow
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import PriceEntry
from domain.refusal import Refusal
from infra.log.events import LedgerEvent
from tests.projections.busy_shop import MB, Shop, busy_shop
from tests.projections.log_builder import LogBuilder, busy

COMMANDS = 1_500
BY_USE = PriceEntry(
    provider="Open", model="gpt", operation="chat", rates={"input": 10, "output": 30},
    expected_usage={"input": 2_000, "output": 1_000},
)  # fmt: skip
# What at least some of the lives must have come to, or the digests would say nothing about it.
RARE = {"late with a shortfall", "refund by contents", "above the hold", "by use", "paid by a group", "two groups"}


class _Told(LogBuilder):
    """A log that puts all that is decided and answered into one digest."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = sha256()
        self.seen: Counter[str] = Counter()

    def said(self, *what: object) -> None:
        """One thing that must stay as it is."""
        self.digest.update(msgspec.json.encode(what, enc_hook=_plain, order="deterministic"))

    def do(self, command: Any, org: str = "acme") -> list[LedgerEvent]:
        """Decide, and before it ask for what the command would come to."""
        if isinstance(command, CreateGeneration):
            self._asked(AssessGeneration(request=command.request), org)
            self._asked(TokensNow(feature="generate_leads", user=command.request.user), org)
        return super().do(command, org)

    def decide(self, command: Any, org: str) -> Decided:
        """Decide, and put the refusal and the tags in; the chain of hashes says what was stored."""
        decided = super().decide(command, org)
        self.said(
            decided.due, [event.tag for _, event in decided.events], decided.result_state, *_told(decided.refusal)
        )
        self.seen[decided.refusal.code if decided.refusal else "accepted"] += 1
        self.seen.update(type(event).__name__ for _, event in decided.events)
        self.seen.update(_rare(command, decided))
        return decided

    def end(self) -> str:
        """The digest, with the ends of all partitions and all states."""
        for partition, (position, hash_) in sorted(self.heads().items()):
            self.said(partition, position, hash_.hex())
        for org, stream in sorted(self.streams()):
            self.said(org, stream, _without_hints(self.stream_state(org, stream)))
        return self.digest.hexdigest()[:20]

    def _asked(self, question: Any, org: str) -> None:
        try:
            self.said(self.ask(question, org))
        except Refusal as refusal:
            self.said(*_told(refusal))


class _RareShop(Shop):
    """A shop where that happens too which the plain one never does."""

    def _create(self) -> Any:
        command = super()._create()
        if self.random.random() < 0.3:
            estimate = self.random.choice((None, {"input": 500, "output": 9_000}))
            request = Request(user=command.request.user, operation="chat", model="gpt", estimate=estimate)
            return replace(command, request=request)
        if self.random.random() < 0.1:  # more space than anybody has
            return replace(command, request=Request(user=command.request.user, operation="upload", bytes=900 * MB))
        return command

    def _confirm(self) -> Any:
        command = super()._confirm()
        state = self.log.stream_state(self.org, f"generation/{command.generation_id}")
        if state.asked is not None and state.asked.model == "gpt":
            usage = {"input": self.random.choice((0, 700, 90_000)), "output": 800}
            return ConfirmGeneration(generation_id=command.generation_id, reported=Reported(usage=usage))
        expired = [id_ for id_ in self.generations if self._status(id_) == "expired"]
        if expired and self.random.random() < 0.3:
            contents = (Content(f"late{self.number}", 4 * MB),)
            reported = Reported(credits=self.random.choice((None, 100_000)), contents=contents)
            return ConfirmGeneration(generation_id=self.random.choice(expired), reported=reported)
        return command

    def _refund(self) -> Any:
        id_ = self._known()
        contents = self.log.stream_state(self.org, f"generation/{id_}").contents
        if contents and self.random.random() < 0.6:
            named = self.random.choice([content.id for content in contents])
            return RefundGeneration(generation_id=id_, refund_id=f"f{self.number}", contents=(named,))
        return super()._refund()

    def _group(self) -> Any:
        if self.random.random() < 0.4:
            limits: dict[str, Any] = {"image": 40, "tokens.lead_generation": self.random.choice((5, 60))}
            group = f"g{self.random.randrange(5)}"
            if self.random.random() < 0.3:
                return CreateGroup(group_id=group, name="Team", limits=limits, every=Every.MONTH)
            return EditGroup(group_id=group, limits=limits, every=Every.MONTH)
        return super()._group()

    def _settings(self) -> Any:
        if self.random.random() < 0.5:
            return ConfigureOrganisation(pay_from=("user:{user}", "group:g1", "org:{org}"), over_actual="available")
        return super()._settings()

    def _grant(self) -> Any:
        command = super()._grant()
        address = getattr(command, "address", "")
        if address.startswith("org:") and self.random.random() < 0.5:
            return replace(command, address=address.replace(f"org:{self.org}", "group:g1"))
        return command

    def _status(self, generation_id: str) -> str:
        status: str = self.log.stream_state(self.org, f"generation/{generation_id}").status.value
        return status


def _rare(command: Any, decided: Decided) -> set[str]:
    """Which of `RARE` this was."""
    if decided.refusal is not None:
        return set()
    found = set()
    names = Counter(type(event).__name__ for _, event in decided.events[decided.due :])
    events = [event for _, event in decided.events[decided.due :]]
    if any(isinstance(event, GenerationSettledLate) and event.shortfall for event in events):
        found.add("late with a shortfall")
    if getattr(command, "contents", ()) and names["GenerationRefunded"]:
        found.add("refund by contents")
    if isinstance(command, ConfirmGeneration):
        found |= {"above the hold"} if names["CreditsDebited"] and names["ReservationCaptured"] else set()
        found |= {"by use"} if command.reported.usage else set()
    if isinstance(command, CreateGeneration):
        streams = [stream for stream, event in decided.events if type(event).__name__ in ("CreditsReserved", "UseHeld")]
        found |= {"paid by a group"} if any(stream.startswith("account/group:") for stream in streams) else set()
        found |= {"two groups"} if sum(stream.startswith("group/") for stream in streams) > 1 else set()
    return found


def _told(refusal: Refusal | None) -> tuple[Any, ...]:
    return () if refusal is None else (refusal.code, refusal.kind, str(refusal), refusal.facts())


def _without_hints(state: Any) -> Any:
    """A state as it was while `next_due` was a hint, and promised grants were kept as they came."""
    if isinstance(state, Account):
        promised = sorted(state.scheduled.values(), key=lambda waiting: (waiting.effective_at, waiting.grant.grant))
        return state._replace(next_due=NEVER, scheduled=promised)  # type: ignore[arg-type]
    if hasattr(state, "quota"):
        return state._replace(quota=state.quota._replace(next_due=NEVER))
    return state


def _plain(value: Any) -> Any:
    if isinstance(value, Holds):
        return dict(value.items())
    if isinstance(value, Order):
        return tuple(value)
    raise NotImplementedError(type(value))


@pytest.mark.parametrize(
    ("seed", "digest"),
    [
        (1, "376faa08aaa7cc28c09b"),
        (2, "4f440eff0c0d4e3173d8"),
        (3, "a507f4197ccca76f9d16"),
        (4, "19b7fc204dd127188d31"),
        (5, "c9bd38131981af25da8b"),
        (6, "e1439810dea40a34bba1"),
    ],
)
def test_all_systems(seed: int, digest: str) -> None:
    log = _Told()
    busy_shop(log, COMMANDS, seed=seed, prices=(*CATALOGUE, BY_USE), make=_RareShop)
    assert sorted(RARE - set(log.seen)) == []
    assert log.seen["GenerationRefused"] > 20
    assert log.end() == digest


@pytest.mark.parametrize(("seed", "digest"), [(1, "6351fe14eec2e295ff6c"), (2, "f25cd2f96606a361fecf")])
def test_plain_accounts(seed: int, digest: str) -> None:
    log = _Told()
    busy(log, COMMANDS, seed=seed)
    assert log.end() == digest

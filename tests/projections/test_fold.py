"""The folds, without a database: exact rows, and agreement with the accounts that decisions see."""

from datetime import timedelta

import pytest

from domain.credits.address import stream_of
from domain.credits.commands import (
    Capture,
    ConfigureAccount,
    Debit,
    Grant,
    Refund,
    Release,
    Reserve,
    Transfer,
    VoidGrant,
)
from domain.credits.events import OVERDRAFT, Paid
from domain.kernel.domain import LetTimePass
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from projections import balances, debits, grants, reservations, transactions
from projections.balances import BALANCES
from projections.catalogue import PRICES
from projections.debits import DEBITS
from projections.facts import CannotApply, fact_of
from projections.fold import FOLD, fold
from projections.grants import GRANTS
from projections.read_model import State
from projections.reservations import RESERVATIONS
from projections.transactions import TRANSACTIONS
from projections.usage import USAGE
from tests.projections.folding import folded
from tests.projections.log_builder import LogBuilder, busy

ANN, BOB = "user:ann:credits", "user:bob:credits"
MOVES = ("type", "amount", "balance_after")


def moves(models: State, address: str = ANN) -> list[tuple[str, int, int]]:
    return [(row.type, row.amount, row.balance_after) for row in models.log(TRANSACTIONS) if row.address == address]


def granted(amount: int = 100, **more: object) -> LogBuilder:
    log = LogBuilder()
    log.do(Grant(address=ANN, grant_id="g1", amount=amount, source="purchase", **more))  # type: ignore[arg-type]
    return log


def test_a_grant_opens_the_account() -> None:
    log = granted(external_ref="pay-1", paid=Paid(9_990_000, "EUR"), sealed="secret")
    models = folded(log.events)
    assert models.rows(BALANCES)["acme", ANN] == balances.Balance(
        "acme", ANN, "user", "ann", "credits", granted=100, available=100, version=1, position=1, updated_at=log.now
    )
    assert models.rows(GRANTS)["acme", ANN, "g1"] == grants.Grant(
        "acme", ANN, "g1", "purchase", 50, "live", 100, 100, 0, 0, 0, 0, 0, log.now, log.now, None,
        "pay-1", 9_990_000, "EUR", "secret", 1,
    )  # fmt: skip
    assert models.log(TRANSACTIONS) == [
        transactions.Transaction(
            "acme",
            ANN,
            1,
            0,
            "granted",
            100,
            100,
            "g1",
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            "user:tester",
            "secret",
            log.now,
        )
    ]


def test_a_hold_captured_in_part_and_then_finally() -> None:
    log = granted()
    log.do(Reserve(address=ANN, reservation_id="r1", amount=60, item="video 6s", price_version=3, sealed="why"))
    begun = log.now
    log.do(Capture(address=ANN, reservation_id="r1", debit_id="d1", amount=20, final=False))
    log.do(Capture(address=ANN, reservation_id="r1", debit_id="d2", amount=15, sealed="note"))
    models = folded(log.events)
    assert models.rows(RESERVATIONS)["acme", "r1", ANN] == reservations.Reservation(
        "acme", "r1", ANN, "captured", 60, 35, 25, 0, begun + timedelta(seconds=900), "video 6s", 3, False, "why",
        begun, 2, log.now, 4,
    )  # fmt: skip
    balance = models.rows(BALANCES)["acme", ANN]
    assert (balance.available, balance.reserved, balance.debited) == (65, 0, 35)
    assert models.rows(DEBITS)["acme", "d2"] == debits.Debit(
        "acme", "d2", ANN, 15, 0, "r1", "video 6s", 3, "note", log.now, 4, "ann", "reservation"
    )
    assert moves(models) == [
        ("granted", 100, 100), ("reserved", -60, 40), ("returned", 20, 60), ("captured", -20, 40),
        ("returned", 40, 80), ("captured", -15, 65),
    ]  # fmt: skip
    grant = models.rows(GRANTS)["acme", ANN, "g1"]
    assert (grant.remaining, grant.reserved, grant.spent, grant.status) == (65, 0, 35, "live")


@pytest.mark.parametrize(("passes", "status"), [(timedelta(0), "released"), (timedelta(seconds=901), "expired")])
def test_a_hold_that_returns(passes: timedelta, status: str) -> None:
    log = granted()
    log.do(Reserve(address=ANN, reservation_id="r1", amount=60))
    log.now += passes
    log.do(Release(address=ANN, reservation_id="r1"))
    models = folded(log.events)
    hold = models.rows(RESERVATIONS)["acme", "r1", ANN]
    assert (hold.status, hold.captured, hold.returned, hold.left, hold.ended_at) == (status, 0, 60, 0, log.now)
    assert moves(models)[-1] == (status, 60, 100)


def test_debt_below_zero_and_its_refund() -> None:
    log = granted(10)
    log.do(ConfigureAccount(address=ANN, credit_limit=50))
    log.do(Debit(address=ANN, debit_id="d1", amount=40, item="image"))
    log.do(Grant(address=ANN, grant_id="g2", amount=12, source="gift"))
    log.do(Refund(address=ANN, refund_id="f1", debit_id="d1", amount=35))
    models = folded(log.events)
    assert moves(models) == [
        ("granted", 10, 10), ("debited", -40, -30), ("granted", 12, -18), ("refunded", 35, 17),
    ]  # fmt: skip
    assert models.rows(DEBITS)["acme", "d1"].refunded == 35
    assert models.rows(GRANTS)["acme", ANN, "g2"].spent == 12  # it repaid a part of the debt
    assert models.rows(GRANTS)["acme", ANN, "f1"].amount == 12  # which came back as a grant of the refund's own
    assert models.rows(BALANCES)["acme", ANN].credit_limit == 50


def test_a_refund_of_an_older_debit_is_an_addition() -> None:
    log = granted()
    log.do(Debit(address=ANN, debit_id="d1", amount=40))
    models = folded(log.events)
    stored = models.rows(DEBITS)["acme", "d1"]
    models.written()
    assert not models.rows(DEBITS)
    models.rows(DEBITS)["acme", "d1"] = stored
    log.do(Refund(address=ANN, refund_id="f1", debit_id="d1", amount=1))
    log.do(Refund(address=ANN, refund_id="f2", debit_id="d1", amount=2))
    fold(models, [fact_of(event, LedgerMapper.of(SCRIP).decode) for event in log.events[2:]])
    assert [(each.id, each.refunded) for each in models.rows(DEBITS).changed.values()] == [("d1", 3)]
    assert not models.rows(DEBITS).new
    used = models.sums(USAGE).values()
    assert [(each.operation, each.user_id, each.credits) for each in used] == [("debit", "ann", -3)]


def test_a_scheduled_grant_counts_when_it_begins() -> None:
    log = LogBuilder()
    start = log.now + timedelta(hours=1)
    log.do(Grant(address=ANN, grant_id="g1", amount=100, source="plan", effective_at=start))
    models = folded(log.events)
    waiting = models.rows(GRANTS)["acme", ANN, "g1"]
    assert (waiting.status, waiting.amount, waiting.remaining, waiting.effective_at) == ("scheduled", 100, 0, start)
    assert (models.log(TRANSACTIONS), models.rows(BALANCES)["acme", ANN].available) == ([], 0)
    log.now = start
    log.do(LetTimePass(stream=stream_of(ANN)))
    began = folded(log.events).rows(GRANTS)["acme", ANN, "g1"]
    assert (began.status, began.amount, began.remaining, began.effective_at) == ("live", 100, 100, start)


def test_void_expiry_and_transfer() -> None:
    log = granted(expires_at=LogBuilder().now + timedelta(days=1))
    log.do(Grant(address=ANN, grant_id="g2", amount=7, source="gift"))
    log.do(Transfer(address=ANN, to=BOB, transfer_id="t1", amount=30))
    log.do(Reserve(address=ANN, reservation_id="r1", amount=10))
    log.do(VoidGrant(address=ANN, grant_id="g2"))
    log.do(VoidGrant(address=BOB, grant_id="nothing"))
    log.now += timedelta(days=2)
    log.do(LetTimePass(stream=stream_of(ANN)))
    models = folded(log.events)
    assert moves(models) == [
        ("granted", 100, 100), ("granted", 7, 107), ("transferred_out", -30, 77), ("reserved", -10, 67),
        ("grant_voided", -7, 60), ("expired", 10, 70), ("grant_expired", -10, 60), ("grant_expired", -60, 0),
    ]  # fmt: skip
    assert moves(models, BOB) == [("transferred_in", 30, 30)]
    first, second = models.rows(GRANTS)["acme", ANN, "g1"], models.rows(GRANTS)["acme", ANN, "g2"]
    assert (first.status, first.expired, first.transferred_out) == ("expired", 70, 30)
    assert (second.status, second.voided) == ("voided", 7)
    assert models.rows(GRANTS)["acme", BOB, "g1"].remaining == 30


def test_only_the_platforms_price_book_counts() -> None:
    log = LogBuilder()
    entries = (PriceEntry(model="m", options={"duration": 6}, credits=5, bulk=((10, 5),)),)
    log.do(PublishPrices(entries=entries, first=True), "platform")
    log.do(PublishPrices(entries=entries, first=True), "acme")
    (row,) = folded(log.events).log(PRICES)
    assert (row.version, row.position) == (1, 1)
    assert row.entries == [{"model": "m", "options": {"duration": 6}, "credits": 5, "bulk": ((10, 5),)}]


@pytest.mark.parametrize("seed", range(4))
def test_rows_agree_with_the_accounts_that_decisions_see(seed: int) -> None:
    log = busy(LogBuilder(), 1500, seed)
    assert log.refused > 50, "the log must contain refusals, else it is too tame to prove anything"
    models = folded(log.events)
    for org, address in log.accounts():
        account, row = log.state(org, address), models.rows(BALANCES)[org, address]
        for name in ("granted", "debited", "refunded", "expired", "voided", "transferred_in", "transferred_out",
                     "reserved", "available", "frozen", "closed", "credit_limit"):  # fmt: skip
            assert getattr(row, name) == getattr(account, name), (org, address, name)
        own = [grant for grant in models.rows(GRANTS).values() if (grant.org, grant.address) == (org, address)]
        assert {grant.id: grant.remaining for grant in own if grant.remaining} == _by_grant(account.grants)
        in_holds = [part for hold in account.holds.values() for part in hold.slices]
        assert {grant.id: grant.reserved for grant in own if grant.reserved} == _by_grant(in_holds)
        for grant in own:
            parts = (
                grant.remaining + grant.reserved + grant.spent + grant.expired + grant.voided + grant.transferred_out
            )
            assert grant.amount == parts or (grant.status in ("scheduled", "voided") and parts == 0)
        held = {hold.id: (hold.left, hold.expires_at) for hold in models.rows(RESERVATIONS).values()
                if (hold.org, hold.address, hold.status) == (org, address, "held")}  # fmt: skip
        assert held == {key: (hold.amount, hold.expires_at) for key, hold in account.holds.items()}
        history = [row for row in models.log(TRANSACTIONS) if (row.org, row.address) == (org, address)]
        assert sum(row.amount for row in history) == account.available
        total = 0
        for row_ in history:
            total += row_.amount
            assert row_.balance_after == total


def _by_grant(parts: object) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:  # type: ignore[attr-defined]
        if part.grant != OVERDRAFT:
            total[part.grant] = total.get(part.grant, 0) + part.amount
    return total


def test_a_missing_event_of_an_account_is_found_by_its_version() -> None:
    log = granted()
    log.do(Debit(address=ANN, debit_id="d1", amount=1))
    log.do(Debit(address=ANN, debit_id="d2", amount=1))
    with pytest.raises(CannotApply, match="is at version 1, the event is version 3"):
        folded([log.events[0], log.events[2]])


def test_what_cannot_be_read_says_which_event_it_is() -> None:
    event = granted().events[0]._replace(type="credits-minted.v7")
    with pytest.raises(CannotApply, match=r"event 1 of partition \d cannot be applied: credits-minted.v7: .*unknown"):
        fact_of(event, LedgerMapper.of(SCRIP).decode)


def test_the_version_of_the_folds_is_known() -> None:
    assert FOLD == 3, "raise it, and this number, when the same events give other rows"

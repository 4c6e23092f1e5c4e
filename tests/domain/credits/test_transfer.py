"""Move free credits to another account of the organisation, for example as a gift."""

import pytest

from domain.credits.account import MAX_LIVE_GRANTS, Account
from domain.credits.burn import Grants
from domain.credits.commands import Debit, Transfer
from domain.credits.events import CreditsTransferredIn, CreditsTransferredOut, GrantExpired, Slice
from domain.credits.refusals import AccountClosed, AccountFrozen, InsufficientCredits, SameAccount, TooMany
from tests.domain.credits.facts import CLOSED, FROZEN, granted, part, postpaid, reserved
from tests.domain.scenario import ALICE, BOB, after, given


def transfer(amount: int, to: str = BOB) -> Transfer:
    return Transfer(address=ALICE, to=to, transfer_id="t1", amount=amount)


def went(*slices: Slice) -> tuple[str, CreditsTransferredOut]:
    amount = sum(item.amount for item in slices)
    return ALICE, CreditsTransferredOut(transfer_id="t1", to=BOB, amount=amount, slices=slices)


def came(*slices: Slice, repaid: int = 0) -> tuple[str, CreditsTransferredIn]:
    amount = sum(item.amount for item in slices) + repaid
    return BOB, CreditsTransferredIn(transfer_id="t1", sender=ALICE, amount=amount, slices=slices, repaid=repaid)


def test_keeps_priority_and_expiry() -> None:
    """S3-9."""
    soon = part(30, priority=7, expires_at=after(days=1))
    scenario = given(granted(30, priority=7, expires_at=after(days=1)), granted(50, "g2"))
    scenario.when(transfer(40)).then(went(soon, part(10, "g2", priority=50)), came(soon, part(10, "g2")))
    sender, receiver = scenario.account(), scenario.account(BOB)
    assert (sender.transferred_out, sender.available) == (40, 40)
    assert (receiver.exists, receiver.transferred_in, receiver.available) == (True, 40, 40)


def test_keeps_the_sealed_text_with_the_sender() -> None:
    command = Transfer(address=ALICE, to=BOB, transfer_id="t1", amount=1, sealed="s")
    out = CreditsTransferredOut(transfer_id="t1", to=BOB, amount=1, slices=(part(1),), sealed="s")
    given(granted(1)).when(command).then((ALICE, out), came(part(1)))


def test_a_gift_expires_with_the_receiver() -> None:
    ends = after(60)
    scenario = given(granted(30, expires_at=ends)).done(transfer(30)).at(ends)
    scenario.when(Debit(address=BOB, debit_id="d1", amount=1)).then_refused(
        InsufficientCredits(required=1, available=0), due=((BOB, GrantExpired(grant=part(30, expires_at=ends))),)
    )


def test_two_gifts_of_one_grant_become_one_part_again() -> None:
    scenario = given(granted(30)).done(transfer(10), transfer(5))
    assert scenario.account(BOB).grants == (part(15),)


def test_what_is_due_on_either_side_comes_first() -> None:
    ends = after(60)
    scenario = given(granted(30), granted(1, "g2", expires_at=ends)).given(granted(2, "g3", expires_at=ends), of=BOB)
    scenario.at(ends).when(transfer(30)).then(
        went(part(30)),
        came(part(30)),
        due=(
            GrantExpired(grant=part(1, "g2", expires_at=ends)),
            (BOB, GrantExpired(grant=part(2, "g3", expires_at=ends))),
        ),
    )


def test_what_is_held_is_no_gift() -> None:
    given(granted(100), reserved(part(70))).when(transfer(31)).then_refused(
        InsufficientCredits(required=31, available=30)
    )


def test_a_credit_limit_is_no_gift() -> None:
    given(granted(10), postpaid(1000)).when(transfer(11)).then_refused(InsufficientCredits(required=11, available=10))
    given(granted(10), postpaid(1000)).done(Debit(address=ALICE, debit_id="d1", amount=20)).when(
        transfer(1)
    ).then_refused(InsufficientCredits(required=1, available=0))


def test_pays_the_receivers_debt_first() -> None:
    scenario = given(granted(50), granted(50, "g2")).given(postpaid(60), of=BOB)
    scenario.done(Debit(address=BOB, debit_id="d1", amount=60))
    scenario.when(transfer(80)).then(went(part(50), part(30, "g2")), came(part(20, "g2"), repaid=60))
    assert (scenario.account(BOB).owed, scenario.account(BOB).available) == (0, 20)


@pytest.mark.parametrize("to", [ALICE, "user:bob:tokens", "user:bob:tokens.general"])
def test_needs_another_account_of_the_same_unit(to: str) -> None:
    given(granted(10)).when(transfer(1, to)).then_refused(SameAccount(to=to))


@pytest.mark.parametrize(("switch", "refusal"), [(FROZEN, AccountFrozen()), (CLOSED, AccountClosed())])
def test_a_frozen_or_closed_account_gives_nothing(switch: object, refusal: AccountFrozen | AccountClosed) -> None:
    given(granted(10), switch).when(transfer(1)).then_refused(refusal)


def test_a_frozen_account_receives_a_closed_one_does_not() -> None:
    given(granted(10)).given(FROZEN, of=BOB).when(transfer(1)).then(went(part(1)), came(part(1)))
    given(granted(10)).given(CLOSED, of=BOB).when(transfer(1)).then_refused(AccountClosed())


def test_the_receivers_live_grants_are_bounded() -> None:
    grants = tuple(part(1, f"h{number:05}") for number in range(MAX_LIVE_GRANTS - 1))
    full = Account(exists=True, granted=len(grants), free=len(grants), grants=Grants.of(grants))
    scenario = given(granted(10), granted(10, "g2")).given_state(full, of=BOB)
    scenario.when(transfer(11)).then_refused(TooMany(what="grants", limit=10_000))
    scenario.when(transfer(10)).then(went(part(10)), came(part(10)))

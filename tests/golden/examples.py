"""What the golden files must mean: each stored type name with the event that its bytes decode to.

A field with a default may come to a type without a new version. The bytes of before stay as `<type>.json`, which proves
that they are still read; those of since then are `<type>.2.json`, and so on: they are what is written now.
"""

from datetime import UTC, datetime
from typing import Any

from domain.credits.events import (
    EPOCH,
    OVERDRAFT,
    AccountConfigured,
    CreditsDebited,
    CreditsGranted,
    CreditsRefunded,
    CreditsReserved,
    CreditsTransferredIn,
    CreditsTransferredOut,
    GrantExpired,
    GrantScheduled,
    GrantVoided,
    Paid,
    ReservationCaptured,
    ReservationExpired,
    ReservationExtended,
    ReservationReleased,
    Slice,
)
from domain.prices.events import PriceEntry, PricesPublished
from tests.golden.generations import GENERATIONS
from tests.golden.limits import LIMITS
from tests.golden.offers import OFFERS

ACTOR = "user:u_42"
CAUSE = "0b9f7f0e-key"

GRANTED_AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ENDS = datetime(2026, 2, 1, tzinfo=UTC)
PLAN = Slice("0190a1b2", 400, "plan", 10, ENDS, GRANTED_AT)
BOUGHT = Slice("0190a1b3", 250, "purchase", 50, None, GRANTED_AT)
BELOW = Slice(OVERDRAFT, 50, "overdraft", 0, None, EPOCH)
SEALED = "k1.c2VhbGVk"

EXAMPLES: dict[str, Any] = {
    "grant-scheduled.v1": GrantScheduled(
        grant=PLAN, effective_at=datetime(2026, 1, 15, tzinfo=UTC), external_ref=None, paid=None, sealed=None
    ),
    "credits-granted.v1": CreditsGranted(
        grant=BOUGHT, repaid=50, external_ref="pi_3Nx", paid=Paid(9_990_000, "EUR"), sealed=SEALED
    ),
    "grant-voided.v1": GrantVoided(grant=BOUGHT, effective=True, sealed=SEALED),
    "grant-expired.v1": GrantExpired(grant=PLAN),
    "credits-reserved.v1": CreditsReserved(
        reservation_id="0190a1b4",
        amount=700,
        expires_at=datetime(2026, 1, 20, 12, 15, tzinfo=UTC),
        slices=(PLAN, BOUGHT, BELOW),
        item="MiniMax-Hailuo-02 768P 6s",
        price_version=3,
        sealed=SEALED,
    ),
    "reservation-extended.v1": ReservationExtended(
        reservation_id="0190a1b4", expires_at=ENDS, grown=250, slices=(BOUGHT,)
    ),
    "reservation-captured.v1": ReservationCaptured(
        reservation_id="0190a1b4",
        debit_id="0190a1b5",
        amount=400,
        slices=(PLAN,),
        final=True,
        returned=(BOUGHT, BELOW),
        sealed=SEALED,
    ),
    "reservation-released.v1": ReservationReleased(
        reservation_id="0190a1b4", amount=650, returned=(PLAN, BOUGHT), sealed=SEALED
    ),
    "reservation-expired.v1": ReservationExpired(reservation_id="0190a1b4", amount=650, returned=(PLAN, BOUGHT)),
    "credits-debited.v1": CreditsDebited(
        debit_id="0190a1b6", amount=450, slices=(PLAN, BELOW), item="chat", price_version=3, sealed=None
    ),
    "credits-refunded.v1": CreditsRefunded(
        refund_id="0190a1b7", debit_id="0190a1b6", amount=450, returned=(PLAN,), owed_less=50, sealed=SEALED
    ),
    "credits-transferred-out.v1": CreditsTransferredOut(
        transfer_id="0190a1b8", to="user:u_43:credits", amount=400, slices=(PLAN,), sealed=SEALED
    ),
    "credits-transferred-in.v1": CreditsTransferredIn(
        transfer_id="0190a1b8",
        sender="user:u_42:credits",
        amount=500,
        slices=(PLAN, BOUGHT._replace(amount=90)),
        repaid=10,
    ),
    "account-configured.v1": AccountConfigured(frozen=True, closed=False, credit_limit=1_000_000_000_000),
    "prices-published.v1": PricesPublished(
        version=3,
        effective_at=datetime(2026, 1, 2, 3, 4, 10, 678901, tzinfo=UTC),
        entries=(
            PriceEntry(
                provider="MiniMax",
                model="Music 1.5",
                operation="music",
                options={"quality": "hd", "takes": 2, "stereo": True},
                at_most={"duration": 90},
                credits=90,
                tokens=500,
                usd_micros=40_000,
                rates={"ContextTokens": 1},
                complexity={"complex": 150},
                bulk=((10, 5), (100, 20)),
            ),
            PriceEntry(operation="chat", credits=0),
        ),
    ),
    **LIMITS,
    **OFFERS,
    **GENERATIONS,
}

"""Charge at once, give a debit back, and move credits between accounts."""

from typing import Any

from pydantic import BaseModel

from api.fields import AddressText, Amount, Body, Metadata, Text
from api.http.caller import Call
from api.http.command import command
from api.http.policy import May
from api.streams_room import Begins
from domain.credits.debit import Debit
from domain.credits.refund import Refund
from domain.credits.transfer import Transfer
from infra.ids import uuid7


class DebitBody(Body):
    """What is charged."""

    amount: Amount
    reason: Text | None = None
    metadata: Metadata | None = None


class DebitAnswer(BaseModel):
    """The debit."""

    debit_id: str
    amount: int
    position: str


class RefundBody(Body):
    """`amount` none for all of the debit that is not yet refunded."""

    amount: Amount | None = None
    reason: Text | None = None
    metadata: Metadata | None = None


class RefundAnswer(BaseModel):
    """The refund."""

    refund_id: str
    debit_id: str
    amount: int
    position: str


class TransferBody(Body):
    """`to`: another account of the organisation, of the same unit."""

    to: AddressText
    amount: Amount
    reason: Text | None = None
    metadata: Metadata | None = None


class TransferAnswer(BaseModel):
    """The transfer."""

    transfer_id: str
    to: str
    amount: int
    position: str


@command("POST /api/v1/accounts/{address}/debits", May.SPEND_CREDITS, DebitAnswer, status=201)
def debit_credits(call: Call, body: DebitBody, sealed: str | None) -> Any:
    """Charge credits at once, without a hold."""
    return Debit(address=call.address, debit_id=uuid7(), amount=body.amount, sealed=sealed)


@command(
    "POST /api/v1/accounts/{address}/debits/{id}/refunds", May.MANAGE_CREDITS, RefundAnswer, status=201, sized=True
)
def refund_debit(call: Call, body: RefundBody, sealed: str | None) -> Any:
    """Give a debit back, whole or in part, to the grants that paid."""
    return Refund(address=call.address, refund_id=uuid7(), debit_id=call.id, amount=body.amount, sealed=sealed)


@command(
    "POST /api/v1/accounts/{address}/transfers",
    May.MANAGE_CREDITS,
    TransferAnswer,
    status=201,
    begins=lambda _call, body: Begins("account", body.to),
)
def transfer_credits(call: Call, body: TransferBody, sealed: str | None) -> Any:
    """Move credits to another account of the organisation."""
    return Transfer(address=call.address, to=body.to, transfer_id=uuid7(), amount=body.amount, sealed=sealed)

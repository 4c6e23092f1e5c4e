"""Account addresses and the stream and tag names that derive from ids."""

from typing import NamedTuple

STREAM_PREFIX = "account/"


class Address(NamedTuple):
    """`{owner_type}:{owner_id}:{unit}`, split at the first and the last colon (contract, "Accounts and credits")."""

    owner_type: str
    owner_id: str
    unit: str

    @property
    def owner(self) -> str:
        """The data subject whose key protects personal text about this account, for example `user:u_42`."""
        return f"{self.owner_type}:{self.owner_id}"


def parse_address(text: str) -> Address:
    """Split an address such as `user:u_42:credits`.

    Raises ValueError when one of the three parts is empty or there are fewer than two colons.
    """
    owner_type, _, rest = text.partition(":")
    owner_id, _, unit = rest.rpartition(":")
    if not (owner_type and owner_id and unit):
        raise ValueError("an address is owner_type:owner_id:unit, for example user:u_42:credits")
    return Address(owner_type, owner_id, unit)


def stream_of(address: str) -> str:
    """The stream that holds an account's events."""
    return STREAM_PREFIX + address


def address_of(stream: str) -> str:
    """The inverse of `stream_of`."""
    return stream.removeprefix(STREAM_PREFIX)


def reservation_tag(reservation_id: str) -> str:
    """The tag under which all events about one reservation are found; an id is unique in its organisation."""
    return f"reservation/{reservation_id}"


def debit_tag(debit_id: str) -> str:
    """The tag of a debit (or capture) and of its refunds."""
    return f"debit/{debit_id}"


def payment_tag(external_ref: str) -> str:
    """The tag of a grant that names an outside payment, unique in its organisation."""
    return f"payment/{external_ref}"


def grant_tag(grant_id: str) -> str:
    """The tag of a grant without an outside reference, and of what later happens to it."""
    return f"grant/{grant_id}"


def transfer_tag(transfer_id: str) -> str:
    """The tag of both sides of a transfer."""
    return f"transfer/{transfer_id}"


def generation_stream(generation_id: str) -> str:
    """The stream of the generation that a hold of the same id belongs to."""
    return f"generation/{generation_id}"

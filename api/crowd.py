"""Everybody who is connected: how many, from where, and how much memory is kept for each.

What one address may have is a part of what all may have, so that nobody is turned away because of another. Behind a
trusted proxy all callers have its address: then only the limits for all count.
"""

from collections.abc import Collection
from heapq import nsmallest
from ipaddress import AddressValueError, IPv6Address
from typing import Protocol

from api.problems import limit_reached, overloaded

GIVING_WAY = 64  # connections closed at once when there is no room: looking for them costs a look at all
OF_ONE = 2  # one address may have this part of the memory: one half
RETRY_AFTER_S = 5


class Guest:
    """An address: how many connections it has, and the bytes kept of what it sent and of what it has not read."""

    __slots__ = ("connections", "held", "host", "unread")

    def __init__(self, host: str) -> None:
        self.host, self.connections, self.held, self.unread = host, 0, 0, 0


class Member(Protocol):
    """A connection, as the crowd sees it."""

    guest: Guest

    @property
    def waiting_since(self) -> float | None:
        """Since when it has waited for a request, by the loop's clock; None while it has one."""

    def give_way(self) -> None:
        """Close: its place is needed."""


class Crowd:
    """All connections of a process. `most_of_one` is 0 behind a trusted proxy: no limits by address.

    `memory`: bytes that may be kept for all; as many again for answers that are not read.
    """

    def __init__(self, most: int, most_of_one: int, memory: int) -> None:
        self.most, self.most_of_one, self.memory = most, most_of_one, memory
        self.memory_of_one = memory // OF_ONE if most_of_one else memory
        self.members: Collection[Member] = ()
        self.count = 0
        self.refused = {"address": 0, "total": 0, "memory": 0, "unread": 0}
        self.held = 0
        self.unread = 0
        self._leaving = 0  # of `count`: closed by us to make room, not yet gone
        self._guests: dict[str, Guest] = {}

    def enter(self, host: str) -> Guest:
        """Count a new connection. Raises Problem (429 for one address, 503 for all)."""
        name = _network(host)
        guest = self._guests.get(name)
        if guest is not None and self.most_of_one and guest.connections >= self.most_of_one:
            self.refused["address"] += 1
            detail = f"One address may have {self.most_of_one} connections at a time."
            raise limit_reached("too_many_connections", detail, self.most_of_one, RETRY_AFTER_S)
        if self.count - self._leaving >= self.most and not self._make_room():
            self.refused["total"] += 1
            raise overloaded()
        if guest is None:
            guest = self._guests[name] = Guest(name)
        guest.connections += 1
        self.count += 1
        return guest

    def leave(self, guest: Guest, *, gave_way: bool) -> None:
        """A connection has ended."""
        self.count -= 1
        self._leaving -= gave_way
        guest.connections -= 1
        if not guest.connections:
            self._guests.pop(guest.host, None)

    def hold(self, guest: Guest, size: int) -> bool:
        """Count `size` bytes of requests, less than zero when they are let go. Whether there is memory for them."""
        guest.held += size
        self.held += size
        return guest.held <= self.memory_of_one and self.held <= self.memory

    def keep_unread(self, guest: Guest, size: int) -> bool:
        """The same for answers that wait for their reader."""
        guest.unread += size
        self.unread += size
        return guest.unread <= self.memory_of_one and self.unread <= self.memory

    def _make_room(self) -> bool:
        """Close those that wait for a request, first of the address that has the most, and the longest first."""
        waiting = [(each, since) for each in self.members if (since := each.waiting_since) is not None]
        found = nsmallest(GIVING_WAY, waiting, key=lambda each: (-each[0].guest.connections, each[1]))
        for member, _ in found:
            self._leaving += 1
            member.give_way()
        return bool(found)


def _network(host: str) -> str:
    """The address that is counted: of IPv6 the network of 64 bits, which is one customer's."""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()

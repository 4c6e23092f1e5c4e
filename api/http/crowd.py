"""Everybody who is connected: how many, from where, and how much memory is kept for each.

One address may have only a part of what all may have, so that no caller is refused because of another one. When a few
addresses have filled the memory, there is still a reserve for those that have little, and room is made for the others
by cutting connections of the addresses that have far more. Behind a trusted proxy all callers have the proxy's address:
then each connection counts by itself.
"""

from collections.abc import Collection
from heapq import nlargest, nsmallest
from ipaddress import AddressValueError, IPv6Address
from itertools import count
from operator import attrgetter
from typing import Literal, Protocol

from api.fair_share import fits
from api.http.problems import limit_reached, overloaded

GIVING_WAY = 64  # connections closed at once when there is no room: looking for them costs a look at all
OF_ONE = 2  # one address may have this part of the memory: one half
LITTLE = 65_536  # bytes: who has no more is served while others fill the memory
FAR_MORE = 2  # only who has so many times as much is cut for another: two alike would cut each other for ever
MOST_CUT = 8  # addresses looked at to make room for one
RETRY_AFTER_S = 5

Kind = Literal["held", "unread"]  # what is kept: of requests, and of answers that wait for their reader


class Guest:
    """An address: how many connections it has, and the bytes kept of what it sent and of what it has not read.

    Behind a trusted proxy it is a single connection.
    """

    __slots__ = ("connections", "held", "host", "unread")

    def __init__(self, host: str) -> None:
        self.host, self.connections, self.held, self.unread = host, 0, 0, 0


class Member(Protocol):
    """A connection, as the crowd sees it."""

    guest: Guest

    @property
    def waiting_since(self) -> float | None:
        """Since when it has waited for a request or the rest of one, by the loop's clock; None while it has one."""

    def give_way(self) -> None:
        """Close: its place is needed."""

    def kept(self, kind: Kind) -> int:
        """Bytes that it would let go when it is cut: not those of a request that came whole and is being answered."""

    def cut(self, kind: Kind) -> None:
        """Let go of them at once, and end: their room is needed."""


class Crowd:
    """All connections of a process. `most_of_one` is 0 behind a trusted proxy: no limits by address.

    `memory`: bytes that may be kept for all; as many again for answers that are not read. Half as much again is kept
    for those who have little.
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
        self._numbers = count()

    def enter(self, host: str) -> Guest:
        """Count a new connection. Raises Problem (429 for one address, 503 for all)."""
        name = _network(host) if self.most_of_one else str(next(self._numbers))
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
        if size <= 0 or (guest.held <= self.memory_of_one and self.held <= self.memory):
            return True
        return self._has_room("held", guest)

    def keep_unread(self, guest: Guest, size: int) -> bool:
        """The same for answers that wait for their reader."""
        guest.unread += size
        self.unread += size
        if size <= 0 or (guest.unread <= self.memory_of_one and self.unread <= self.memory):
            return True
        return self._has_room("unread", guest)

    def _has_room(self, kind: Kind, guest: Guest) -> bool:
        """The memory is full: whether it has room all the same, if need be by cutting those that have far more."""
        of = attrgetter(kind)
        own = of(guest)
        if own > self.memory_of_one:
            return False
        if fits(own, LITTLE, of(self), self.memory):
            return True
        for other in nlargest(MOST_CUT, self._guests.values(), key=of):
            if of(other) < own * FAR_MORE:
                break
            self._cut(kind, other)
            if fits(own, LITTLE, of(self), self.memory):
                return True
        return False

    def _cut(self, kind: Kind, guest: Guest) -> None:
        """Cut its connections, those that have the most first, until it has half of what it had."""
        half = getattr(guest, kind) // 2
        found = [(each.kept(kind), each) for each in self.members if each.guest is guest]
        for size, member in sorted(found, key=lambda each: -each[0]):
            if not size or getattr(guest, kind) <= half:
                return
            member.cut(kind)

    def _make_room(self) -> bool:
        """Close those that wait, first of the address that has the most, and the longest first."""
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

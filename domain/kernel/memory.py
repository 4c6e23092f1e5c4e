"""A ledger in memory, with everything that there is to know always known: for what needs no database."""

from datetime import datetime
from typing import Any

from domain.kernel.domain import Domain
from domain.kernel.execution import Decided, MoreDue, ask, execute, let_time_pass
from domain.kernel.work import Key, Stream, Tagged, Work


class Memory:
    """States and events by tag of any number of organisations, as decisions of a domain lead to them.

    `platform` is the organisation whose streams are the platform's.
    """

    def __init__(self, domain: Domain, platform: str) -> None:
        self.domain = domain
        self.streams: dict[Key, Stream] = {}
        self.tags: dict[Key, Tagged] = {}
        self._platform = platform

    def stream(self, key: Key) -> Stream:
        """What is not in `streams` has no events."""
        return Stream(0, self.domain.kind_of(key[1]).initial, 0)

    def tagged(self, _key: Key) -> Tagged:
        """What is not in `tags` names nothing."""
        return Tagged(0, ())

    def state(self, org: str, stream: str) -> Any:
        """A stream's state; what is due by now and not written is not in it."""
        return (self.streams.get((org, stream)) or self.stream((org, stream))).state

    def put(self, org: str, stream: str, state: Any) -> None:
        """Let a stream be in a state, whatever has led to it."""
        self.streams[org, stream] = Stream(0, state, 0)

    def work(self, org: str, now: datetime) -> Work:
        """Work of an organisation that has just begun. It changes nothing until it is kept."""
        work = self.domain.work(self, self, lambda stream: self.state(self._platform, stream))
        work.begin(org, now)
        return work

    def run(self, command: Any, org: str, now: datetime) -> Decided:
        """Decide a command and keep what it came to."""
        work = self.work(org, now)
        decided = self.decide(work, command)
        self.keep(work)
        return decided

    def decide(self, work: Work, command: Any) -> Decided:
        """Decide a command on work that has just begun, slice by slice; what it came to is in the work."""
        while (decided := execute(work, self.domain, command)).unfinished is not None:
            work.behind.clear()
        return decided

    def ask(self, question: Any, org: str, now: datetime) -> Any:
        """Answer a question as of `now`. Raises its Refusal."""
        work = self.work(org, now)
        while True:
            try:
                return ask(work, self.domain, question)
            except MoreDue as more:
                while let_time_pass(work, (more.stream,)) is not None:
                    work.behind.clear()

    def keep(self, work: Work) -> None:
        """Take over the states and events of work that was begun here."""
        self.streams.update(work.streams)
        for tag, events in work.tags.items():
            known = self.tags.get(tag) or self.tagged(tag)
            self.tags[tag] = Tagged(0, (*known.events, *events))

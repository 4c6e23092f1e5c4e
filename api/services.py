"""What requests are served with: the ledger, the read models, the keys. Made once when the application starts."""

import hmac
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from api.consumers import ConsumerWatch
from api.database import MAX_LOG_READS, READ_WAIT_S, Database, Row
from api.defaults import defaults_of
from api.documents_room import DocumentsRoom
from api.folds_room import FoldsRoom
from api.free_writes import FreeWrites
from api.large_bodies import LargeBodies
from api.links import Links, links_of
from api.live.tail import Live
from api.metrics import Metrics
from api.rounds import Rounds
from api.streams_room import StreamsRoom
from api.threads import Threads
from api.visible import Visible
from domain.generations.request import Defaults
from infra.log.recorder import EventLog
from infra.payments.provider import PaymentProvider
from infra.payments.providers import provider_of
from infra.sealing import Sealer
from infra.security.api_keys import ApiKeys
from infra.security.authenticator import Authenticator
from infra.security.failed_logins import FailedLogins
from infra.security.request_rates import RequestRates
from infra.security.tokens import Tokens
from infra.settings import Settings
from infra.writer.ledger import Ledger

Found = TypeVar("Found")

MAX_KNOWN = 50_000  # generations whose user is remembered, some 10 MB

# By whom it is asked for, and who is told how far it is: section, done, of how many.
Verify = Callable[[str, Callable[[str, int, int], None]], Awaitable[dict[str, Any]]]
Retry = Callable[[str, str], Awaitable[dict[str, Any]]]


class KnownOwners:
    """The users of the generations that this process has met last. A generation's user never changes."""

    def __init__(self) -> None:
        self._users: OrderedDict[tuple[str, str], str] = OrderedDict()

    def note(self, org: str, generation_id: str, user: str) -> None:
        """Only of a generation that exists: the id of one that was refused may yet become another user's."""
        self._users[org, generation_id] = user
        if len(self._users) > MAX_KNOWN:
            self._users.popitem(last=False)

    def user(self, org: str, generation_id: str) -> str | None:
        """The generation's user, none where it was not met."""
        return self._users.get((org, generation_id))


@dataclass(slots=True)
class Services:
    """`verify` runs the audit; `retry` tries a quarantined usage event again (organisation, id); None: not offered."""

    settings: Settings
    ledger: Ledger
    database: Database
    consumers: ConsumerWatch
    live: Live
    visible: Visible
    sealer: Sealer
    tokens: Tokens
    keys: ApiKeys
    authenticator: Authenticator
    rates: RequestRates
    free_writes: FreeWrites
    room: StreamsRoom
    failed_logins: FailedLogins
    metrics: Metrics
    fingerprint_secret: bytes
    defaults: Defaults
    links: Links
    fingerprints: hmac.HMAC  # over nothing yet: copied for each request, which is the cheapest way to a keyed hash
    owners: KnownOwners = field(default_factory=KnownOwners)
    payments: PaymentProvider | None = None  # none: nothing can be bought
    verify: Verify | None = None
    retry: Retry | None = None
    asyncapi: Callable[[], dict[str, Any]] | None = None
    large_bodies: LargeBodies = field(default_factory=LargeBodies)
    documents: DocumentsRoom = field(default_factory=DocumentsRoom)
    threads: Threads = field(default_factory=Threads)
    log_threads: Threads = field(default_factory=lambda: Threads(MAX_LOG_READS, READ_WAIT_S))
    folds: FoldsRoom = field(default_factory=FoldsRoom)
    rounds: Rounds = field(default_factory=Rounds)
    in_flight: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _singles: dict[Any, Any] = field(default_factory=dict)
    # Told of every check that was refused (organisation, the check's answer), best effort (topic `scrip.decisions`).
    on_refused_check: Callable[[str, dict[str, Any]], None] = lambda _org, _told: None

    def single(self, kind: Callable[["Services"], Found]) -> Found:
        """The one `kind` of this application, made when it is first asked for."""
        if kind not in self._singles:
            self._singles[kind] = kind(self)
        found: Found = self._singles[kind]
        return found

    def rows(self, query: str, parameters: Mapping[str, Any]) -> Coroutine[Any, Any, list[Row]]:
        """`Database.rows`: of the organisation that `parameters` name as `org`."""
        return self.database.rows(query, parameters)

    def row(self, query: str, parameters: Mapping[str, Any]) -> Coroutine[Any, Any, Row | None]:
        """`Database.row`: the first of them, or none."""
        return self.database.row(query, parameters)

    def rows_of_all(self, query: str, parameters: Any = ()) -> Coroutine[Any, Any, list[Row]]:
        """`Database.rows_of_all`: of all organisations."""
        return self.database.rows_of_all(query, parameters)

    async def read_log(self, read: Callable[[EventLog], Found]) -> Found:
        """What `read` finds with the log's recorders, on a thread, as they are synchronous. Callers take turns.

        Raises psycopg.Error; psycopg_pool's PoolTimeout and TooManyRequests when busy.
        """
        return await self.log_threads.run(read, self.database.log(self.ledger.writer.partitions))

    async def open(self) -> None:
        """Open the pools, whose connections are made in the background, and begin to watch the consumers."""
        await self.database.open()
        self.consumers.start()

    async def close(self) -> None:
        """Stop watching the consumers and close the pools."""
        await self.consumers.stop()
        self.documents.close()
        self.threads.close()
        self.log_threads.close()
        await self.database.close()


def make_services(settings: Settings, ledger: Ledger) -> Services:
    """Wire everything; nothing is opened yet."""
    secret = settings.fingerprint_secret.get_secret_value().encode()
    database = Database(settings)
    consumers = ConsumerWatch(settings, database)
    metrics = Metrics()
    metrics.watch(ledger)
    metrics.consumers = consumers
    tokens = Tokens(settings)
    keys = ApiKeys(database.writes, secret)
    return Services(
        settings=settings,
        ledger=ledger,
        database=database,
        consumers=consumers,
        live=Live(database, ledger),
        visible=Visible(database.reads_all),
        sealer=Sealer(database.text),
        tokens=tokens,
        keys=keys,
        authenticator=Authenticator(tokens, keys),
        rates=RequestRates(database.writes),
        free_writes=FreeWrites(settings),
        room=StreamsRoom(database.reads_all, settings.max_streams),
        failed_logins=FailedLogins(0 if settings.trusted_proxy else settings.failed_logins),
        metrics=metrics,
        fingerprint_secret=secret,
        defaults=defaults_of(settings),
        links=links_of(settings),
        fingerprints=hmac.new(secret, digestmod="sha256"),
        payments=provider_of(settings),
    )

"""What requests are served with: the ledger, the read models, the keys. Made once when the application starts."""

import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from pydantic import SecretStr

from api.consumers import ConsumerWatch
from api.defaults import defaults_of
from api.documents_room import DocumentsRoom
from api.folds_room import FoldsRoom
from api.free_writes import FreeWrites
from api.known_owners import KnownOwners
from api.large_bodies import LargeBodies
from api.links import Links, links_of
from api.metrics import Metrics
from api.streams_room import StreamsRoom
from api.threads import Threads
from api.visible import Visible
from domain.generations.request import Defaults
from infra.fair_pool import FairPool
from infra.payments.provider import PaymentProvider
from infra.payments.providers import provider_of
from infra.sealing import Sealer
from infra.security.api_keys import ApiKeys
from infra.security.authenticator import Authenticator
from infra.security.failed_logins import FailedLogins
from infra.security.request_rates import RequestRates
from infra.security.tokens import Tokens
from infra.session import options
from infra.settings import Settings
from infra.whole_numbers import WholeLoader
from infra.writer.ledger import Ledger

if TYPE_CHECKING:
    from api.live.service import Live

MAX_READS = 8  # connections for reads of one organisation,
MAX_READS_OF_ALL = 4  # for those of the whole platform,
MAX_WRITES = 4  # for API keys, rates and the console's sessions; callers take turns (infra/turns.py)
MAX_TEXTS = 2  # for keys of personal text; who may ask for them takes turns at the threads
READ_WAIT_S = 2.0
WORKS_S = 1.0  # a connection that worked is taken to work for so long
KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
OPTIONS = options(
    "-c statement_timeout=5s -c lock_timeout=2s -c idle_in_transaction_session_timeout=10s -c transaction_timeout=30s"
    " -c plan_cache_mode=force_custom_plan"
)

Row = dict[str, Any]
# By whom it is asked for, and who is told how far it is: section, done, of how many.
Verify = Callable[[str, Callable[[str, int, int], None]], Awaitable[dict[str, Any]]]
Retry = Callable[[str, str], Awaitable[dict[str, Any]]]


_SET_ORG = "select set_config('scrip.org', %s, true)"


@dataclass(slots=True)
class Services:
    """`verify` runs the audit; `retry` tries a quarantined usage event again (organisation, id); none: not offered.

    The pools are by login: `reads` as scrip_reader, `reads_all` as scrip_auditor, `writes` and `text` as scrip_writer.
    """

    settings: Settings
    ledger: Ledger
    reads: FairPool
    reads_all: FairPool
    writes: FairPool
    text: "ConnectionPool[Any]"
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
    consumers: ConsumerWatch = field(init=False)
    live: "Live" = field(init=False)  # made with the application, because it is served by these services
    large_bodies: LargeBodies = field(default_factory=LargeBodies)
    documents: DocumentsRoom = field(default_factory=DocumentsRoom)
    threads: Threads = field(default_factory=Threads)
    visible: Visible = field(init=False)
    folds: FoldsRoom = field(default_factory=FoldsRoom)
    in_flight: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    # Told of every check that was refused (organisation, the check's answer), best effort (topic `scrip.decisions`).
    on_refused_check: Callable[[str, dict[str, Any]], None] = lambda _org, _told: None

    async def rows(self, query: str, parameters: Mapping[str, Any]) -> list[Row]:
        """The rows of a read in the organisation that `parameters` name as `org`.

        The database shows that organisation's rows and no others, whatever the query says (row-level
        security). Callers take turns. Raises psycopg.Error; psycopg_pool's PoolTimeout and TooManyRequests when busy.
        """
        async with self.reads.connection() as connection:
            # One round trip: what a pipeline sends between two syncs is one transaction, and so is the setting's life.
            async with connection.pipeline():
                await connection.execute(_SET_ORG, (parameters["org"],))
                cursor = await connection.cursor(row_factory=dict_row).execute(query, parameters)
            found: list[Row] = await cursor.fetchall()
            return found

    async def row(self, query: str, parameters: Mapping[str, Any]) -> Row | None:
        """The first row of a read in one organisation, or none."""
        found = await self.rows(query, parameters)
        return found[0] if found else None

    async def rows_of_all(self, query: str, parameters: Any = ()) -> list[Row]:
        """The rows of a read over all organisations: for what belongs to the platform, and for its admins."""
        async with self.reads_all.connection() as connection:
            cursor = await connection.cursor(row_factory=dict_row).execute(query, parameters)
            found: list[Row] = await cursor.fetchall()
            return found

    async def open(self) -> None:
        """Open the pools; connections are made in the background."""
        for pool in (self.reads, self.reads_all, self.writes):
            await pool.open()
        self.text.open()
        self.consumers.start()

    async def close(self) -> None:
        """Close the pools."""
        await self.consumers.stop()
        self.text.close()
        self.documents.close()
        self.threads.close()
        for pool in (self.writes, self.reads_all, self.reads):
            await pool.close()


def make_services(settings: Settings, ledger: Ledger) -> Services:
    """Wire everything; nothing is opened yet."""
    secret = settings.fingerprint_secret.get_secret_value().encode()
    writes = _pool(settings.writer_url, "scrip-api-keys", MAX_WRITES)
    text: ConnectionPool[Any] = ConnectionPool(
        settings.writer_url.get_secret_value(),
        min_size=1,
        max_size=MAX_TEXTS,
        timeout=READ_WAIT_S,
        open=False,
        check=ConnectionPool.check_connection,
        kwargs={"autocommit": True, "application_name": "scrip-api-text", "options": OPTIONS} | KEEPALIVE,
    )
    tokens = Tokens(settings)
    keys = ApiKeys(writes, secret)
    reads_all = _pool(settings.auditor_url, "scrip-api-reads-all", MAX_READS_OF_ALL)
    services = Services(
        settings=settings,
        ledger=ledger,
        reads=_pool(settings.reader_url, "scrip-api-reads", MAX_READS),
        reads_all=reads_all,
        writes=writes,
        text=text,
        sealer=Sealer(text),
        tokens=tokens,
        keys=keys,
        authenticator=Authenticator(tokens, keys),
        rates=RequestRates(writes),
        free_writes=FreeWrites(settings),
        room=StreamsRoom(reads_all, settings.max_streams),
        failed_logins=FailedLogins(0 if settings.trusted_proxy else settings.failed_logins),
        metrics=Metrics(),
        fingerprint_secret=secret,
        defaults=defaults_of(settings),
        links=links_of(settings),
        fingerprints=hmac.new(secret, digestmod="sha256"),
        payments=provider_of(settings),
    )
    services.visible = Visible(reads_all)
    services.consumers = services.metrics.consumers = ConsumerWatch(services)
    return services


def _pool(uri: SecretStr, name: str, max_size: int) -> FairPool:
    checked: WeakKeyDictionary[AsyncConnection[Any], float] = WeakKeyDictionary()

    async def check(connection: AsyncConnection[Any]) -> None:
        """Asking anew each time would double the round trips of a read. Raises psycopg.OperationalError."""
        now = monotonic()
        if now - checked.get(connection, float("-inf")) > WORKS_S:
            await AsyncConnectionPool.check_connection(connection)
            checked[connection] = now

    async def configure(connection: AsyncConnection[Any]) -> None:
        set_json_loads(msgspec.json.decode, connection)
        connection.adapters.register_loader("numeric", WholeLoader)

    return FairPool(
        uri.get_secret_value(),
        min_size=1,
        max_size=max_size,
        timeout=READ_WAIT_S,
        open=False,
        check=check,
        configure=configure,
        kwargs={"autocommit": True, "application_name": name, "options": OPTIONS} | KEEPALIVE,
    )

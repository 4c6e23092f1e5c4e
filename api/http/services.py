"""What requests are served with: the ledger, the read models, the keys. Made once when the application starts."""

import asyncio
import hmac
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar

from api.http.database import MAX_LOG_READS, READ_WAIT_S, Database, Row, Visible
from api.http.limits import DocumentsRoom, FoldsRoom, FreeWrites, LargeBodies, StreamsRoom
from api.http.metrics import Metrics
from api.http.problems import UNDECIDED, refused, undecided
from api.log.tail import Live
from api.operator.watch import ConsumerWatch
from api.rounds import Rounds
from domain.generations.request import Defaults
from domain.refusal import Refusal
from domain.resources.table import RESOURCES
from infra.log.recorder import EventLog
from infra.payments import PaymentProvider, provider_of
from infra.security.api_keys import ApiKeys
from infra.security.authenticator import Authenticator
from infra.security.rates import FailedLogins, RequestRates
from infra.security.sealing import Sealer
from infra.security.tokens import Tokens
from infra.settings import Settings
from infra.turns import CALLER, Turns
from infra.writer.ledger import Ledger
from infra.writer.submission import Answered, Current, Refused

NOW = "select scrip_now() as now"


def defaults_of(settings: Settings) -> Defaults:
    """Token estimates by kind of operation, and the storage limit of users without one of their own."""
    return Defaults(
        image_simple=settings.tokens_image_simple,
        image_complex=settings.tokens_image_complex,
        video_short=settings.tokens_video_short,
        video_long=settings.tokens_video_long,
        chat=settings.tokens_chat,
        storage_limit=settings.default_storage_limit,
    )


class Links(NamedTuple):
    """The application's own pages, as settings name them (`SCRIP_LINK_…`)."""

    tokens: str
    plan: str
    generations: str
    budget: str
    admin: str


def actions(checks: list[dict[str, Any]], reason: str, links: Links) -> list[dict[str, str]]:
    """What helps against the checks that failed, each way once; that for the `reason` of the refusal first."""
    failed = sorted((check for check in checks if not check["ok"]), key=lambda check: check["reason"] != reason)
    found = [action for check in failed for action in RESOURCES.shown(check["resource"]).actions(check["reason"])]
    return [{"label": action.label, "href": getattr(links, action.page)} for action in dict.fromkeys(found)]


THREADS = 4  # they share one interpreter, with the event loop too
WAIT_S = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Made once for each process. Callers take turns; nothing waits in the threads' own queue."""

    def __init__(self, threads: int = THREADS, wait_s: float = WAIT_S) -> None:
        self.turns = Turns(threads, wait_s=wait_s)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="work")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns. Raises psycopg_pool's TooManyRequests and PoolTimeout; what `function` raises."""
        caller = CALLER.get()
        await self.turns.enter(caller)
        try:
            work = partial(copy_context().run, function, *args, **kwargs)
            working = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except BaseException:
            self.turns.leave(caller)
            raise
        # Not when the caller is answered: they may have gone, and the thread is busy until its work has ended.
        working.add_done_callback(lambda _: self.turns.leave(caller))
        return await asyncio.shield(working)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


Found = TypeVar("Found")

MAX_KNOWN = 50_000  # generations whose user is remembered, some 10 MB

# Who wants it, and what is called with its progress: section, done, total.
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
    # Called for every refused check (organisation, the check's answer), best effort (topic `scrip.decisions`).
    on_refused_check: Callable[[str, dict[str, Any]], None] = lambda _org, _answer: None

    def single(self, kind: Callable[["Services"], Found]) -> Found:
        """The one `kind` of this application, made when it is first asked for."""
        if kind not in self._singles:
            self._singles[kind] = kind(self)
        found: Found = self._singles[kind]
        return found

    def rows(self, query: str, parameters: Mapping[str, Any]) -> Coroutine[Any, Any, list[Row]]:
        """`Database.rows`: of the organisation that `parameters` name as `org`."""
        return self.database.rows(query, parameters)

    def rows_of_all(self, query: str, parameters: Any = ()) -> Coroutine[Any, Any, list[Row]]:
        """`Database.rows_of_all`: of all organisations."""
        return self.database.rows_of_all(query, parameters)

    async def current(self, org: str, *streams: str, tags: tuple[str, ...] = ()) -> Current:
        """The streams' states and the tags' events now, from the write side. Raises Problem (503)."""
        try:
            return await self.ledger.current(org, streams, tags)
        except UNDECIDED as error:
            raise undecided(error, read=True) from None

    async def ask(self, org: str, question: Any, *, operation: str | None = None) -> Answered:
        """The answer to a question as of now, from the write side. Raises Problem: a refusal's, 503.

        `operation`: under which name a refusal is counted; None: it is not.
        """
        try:
            return await self.ledger.ask(org, question)
        except Refusal as refusal:
            if operation is not None:
                self.metrics.refused(operation, refusal.code)
            raise refused(Refused.of(refusal)) from None
        except UNDECIDED as error:
            raise undecided(error, read=True) from None

    async def now(self) -> datetime:
        """The time of the database, which is the only clock."""
        (row,) = await self.rows_of_all(NOW)
        now: datetime = row["now"]
        return now

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
        links=Links(*(getattr(settings, f"link_{page}") for page in Links._fields)),
        fingerprints=hmac.new(secret, digestmod="sha256"),
        payments=provider_of(settings),
    )

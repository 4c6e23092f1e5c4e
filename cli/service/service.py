"""The whole service on one data folder: both servers, schema, topics, first prices and a process for each role."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.service.interrupt import go_on
from cli.service.prepare import prepare_database, prepare_ledger
from cli.service.role_process import BEHIND, RoleProcess, give_place
from cli.service.settings import embedded_settings, ensure_secrets, log_partitions, login_uri, note_login, owner_uri
from cli.service.signs import NO_SIGN, Asked, api_answers, count_hang, forget_hangs, kafka_answers, postgres_answers
from cli.service.tending import RoomToldOf, TendedServer
from infra.disk import disk_watch, watched_text
from infra.embedded import EmbeddedServers, ServerUnavailable
from infra.embedded.ports import choose_port, require_free
from infra.settings import Settings

ROLES = ("api", "relay", "projector", "intake", "sweeper", "notifier")
DEFAULT_PORT = 8080
READY_DEADLINE_S = 60.0
GENTLE_S = 4.0  # for all roles together, from the polite signal to the kill
POLL_S = 0.02

Report = Callable[[str, int, int], None]
Notice = Callable[[str], None]


class Service:
    """Everything that `scrip up` runs: `with Service(DIR) as service: ...`; on leaving, all of it is stopped."""

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        kafka_port: int | None = None,
        roles: Sequence[str] = ROLES,
        notice: Notice | None = None,
    ) -> None:
        """Nothing happens before `start`.

        `notice(text)` tells what was found dead and started again, and that the folder is a copy.
        """
        self._servers = EmbeddedServers(data, kafka_port, self._report, notice=self._tell)
        self._port = port
        self._names = tuple(roles)
        self._progress: Report | None = None
        self._notice = notice
        self._roles: list[RoleProcess] = []
        self._asked: list[Asked] = []
        self._tended: list[TendedServer] = []
        self._room: RoomToldOf | None = None
        self._settings: Settings | None = None
        self.analyst_uri = ""  # of the login for people's own SQL, once it is started

    def on_progress(self, report: Report) -> None:
        """Have `report(what, done, total)` called, in short texts and from several threads, while it starts."""
        self._progress = report

    @property
    def settings(self) -> Settings:
        """The settings of all roles, with the addresses that were chosen."""
        if self._settings is None:
            raise ServerUnavailable("The service is not started.")
        return self._settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def role_pids(self) -> dict[str, int]:
        """The processes of the roles that run now."""
        return {role.name: role.pid for role in self._roles if role.pid is not None}

    def start(self) -> Self:
        """Start everything and return once all roles serve.

        Raises ServerUnavailable or a kind of it (a port or folder in use), UnsafeSetting, psycopg.Error.
        """
        if self._port:
            require_free(self._port)  # known before the slower steps
        self._servers.start()
        self._let_kafka_step_back()
        try:
            self._start_rest()
        except BaseException:
            self.stop()
            raise
        return self

    def tend(self) -> None:
        """Start again what has died or hangs; to be called every so often while the service runs. Returns soon."""
        self._servers.folder.note_again()
        if self._room is not None:
            self._room.tend()
        for asked in self._asked:
            told = asked.look()
            if told is not None:
                count_hang(self._servers.folder.subfolder("run"), asked.name)
                self._tell(told)
        for server in self._tended:
            if server.tend():
                self._let_kafka_step_back()
                for role in self._roles:
                    role.try_now()
        for role in self._roles:
            told = role.tend()
            if told is not None:
                self._tell(told)

    def stop(self) -> None:
        """Stop the roles, then the servers; stopping twice is allowed."""
        for asked in self._asked:
            asked.stop()
        self._asked = []
        for server in self._tended:
            server.end()
        for role in self._roles:
            role.ask_to_stop()
        deadline = time.monotonic() + GENTLE_S
        for role in self._roles:
            role.stop(max(deadline - time.monotonic(), 0.1))
        self._roles = []
        self._servers.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_rest(self) -> None:
        folder = self._servers.folder
        server, kafka = self._servers.postgres_uri, self._servers.kafka_bootstrap
        known = ensure_secrets(folder)
        servers = self._servers
        # On the same ports: that is where the roles and everybody else look for them.
        self._tended = [
            TendedServer(servers.postgres, folder, "postgres", "PostgreSQL", server, self._tell),
            TendedServer(servers.kafka, folder, "kafka", "Kafka", kafka, self._tell, needs_room=True),
        ]
        # Chosen here and not by the API itself, so that it has the same address when it starts again.
        port = choose_port(self._port, DEFAULT_PORT)
        addresses = {"postgres": server, "kafka": kafka, "api": f"http://127.0.0.1:{port}"}
        settings = embedded_settings(addresses, known)
        self._report("preparing the database")
        prepare_database(server, settings.partitions, known.passwords())
        settings = settings.model_copy(update={"partitions": log_partitions(owner_uri(server))})
        prepare_ledger(settings)
        note_login(folder, settings, known)
        folder.record_address("api", addresses["api"])
        self._settings = settings
        self.analyst_uri = login_uri(server, "scrip_analyst", known.scrip_analyst)
        forget_hangs(folder.subfolder("run"))
        watch = disk_watch(settings.model_copy(update={"watched_folders": watched_text(folder.path)}))
        self._room = RoomToldOf(watch, self._tell)
        self._start_roles()
        self._ask()

    def _let_kafka_step_back(self) -> None:
        """Give Kafka a lower priority: decisions are in PostgreSQL, and its deliveries may be a moment late."""
        pid = self._servers.kafka.pid
        if pid is not None:
            give_place(pid, BEHIND)

    def _start_roles(self) -> None:
        self._report("starting the roles")
        for name in self._names:
            role = RoleProcess(self._servers.folder, name, self.settings.hung_after_s)
            self._roles.append(role)
            role.start()
        deadline = time.monotonic() + READY_DEADLINE_S
        waiting = list(self._roles)
        while waiting:
            waiting = [role for role in waiting if role.ready() is None]
            if waiting and time.monotonic() > deadline:
                names = ", ".join(role.name for role in waiting)
                raise ServerUnavailable(f"Not ready within {READY_DEADLINE_S:.0f} s: {names}; see the logs folder.")
            time.sleep(POLL_S)
        if set(self._names) == set(ROLES):  # one that a command runs for itself is no use to others, and ends with it
            self._servers.folder.record_address("ready", self.url)

    def _ask(self) -> None:
        limit_s = NO_SIGN * self.settings.hung_after_s
        if not limit_s:
            return
        postgres, kafka = self._servers.postgres, self._servers.kafka
        ports = (postgres.port, kafka.port, self.settings.port)
        self._asked = [
            Asked("PostgreSQL", lambda: postgres.pid, lambda: postgres_answers(ports[0]), limit_s),
            Asked("Kafka", lambda: kafka.pid, lambda: kafka_answers(ports[1]), limit_s),
        ]
        if "api" in self._names:
            api = lambda: self.role_pids().get("api")  # noqa: E731 - as the two above
            self._asked.append(Asked("api", api, lambda: api_answers(ports[2]), limit_s))

    def _report(self, what: str, done: int = 0, total: int = 0) -> None:
        go_on()  # a download in another thread would otherwise go on to its end
        if self._progress is not None:
            self._progress(what, done, total)

    def _tell(self, what: str) -> None:
        if self._notice is not None:
            with suppress(OSError):  # what we say may go to a file on a disk that is full
                self._notice(what)

"""A shell that lives as long as a page: what one block exports, the next one has."""

import os
import secrets
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.waiting import patient

DEADLINE_S = patient(60.0)


class Shell:
    """Bash in `folder`; commands run one after the other, and each says what it printed and how it ended."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )

    def run(self, command: str, deadline_s: float = DEADLINE_S) -> tuple[str, int]:
        """Run a command, which may be of several lines; returns its output, errors included, and its exit status.

        A command that ends the shell has ended it. Raises TimeoutError, with what was printed so far.
        """
        mark = f"--{secrets.token_hex(8)}--"
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        # Read as a whole before it runs: what the command itself reads is not the rest of the page.
        stdin.write(
            f"eval \"$(cat <<'{mark}'\n{command}\n{mark}\n)\" </dev/null\nprintf '%s %s\\n' '{mark}' $?\n".encode()
        )
        stdin.flush()
        said, end = b"", time.monotonic() + deadline_s
        while (at := said.find(mark.encode())) < 0 or not said.endswith(b"\n"):
            ready, _, _ = select.select([stdout], [], [], max(end - time.monotonic(), 0))
            chunk = os.read(stdout.fileno(), 65_536) if ready else b""
            if ready and not chunk:  # `set -e` ended the shell
                return said.decode(), self._process.wait(deadline_s)
            if not chunk:
                raise TimeoutError(f"`{command}` did not end within {deadline_s} s; it said: {said.decode()}")
            said += chunk
        return said[:at].decode(), int(said[at:].split()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate(timeout=DEADLINE_S)

"""The one `scrip up` that the files of ONE_SERVICE (tests/order.py) share."""

import pytest

from tests.cli.running import Up


class Shared:
    """Started by the first test that asks for it, ended after the last (tests/conftest.py)."""

    def __init__(self) -> None:
        self._up: Up | None = None

    def running(self, factory: pytest.TempPathFactory) -> Up:
        """The service; where it was ended, or a test has killed it, a new one on a folder of its own."""
        if self._up is None or self._up.process.poll() is not None:
            self._up = Up(factory.mktemp("up") / "data")
            self._up.await_ready()
        return self._up

    def end(self) -> None:
        """Stop it, if it runs."""
        up, self._up = self._up, None
        if up is not None and up.process.poll() is None:
            up.terminate()


SHARED = Shared()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Up:
    """The service. Tests keep out of each other's way by organisations of their own."""
    return SHARED.running(tmp_path_factory)

"""What `scrip test` installs beside Python packages; a script stands in for apt-get."""

import os
from pathlib import Path

import pytest

from cli.failure import Failure
from cli.testing import NEEDED, install_packages, missing_packages

APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND $*" >>"{log}"
echo "Reading package lists..."
echo "dlstatus:1:20.5:Retrieving file 1 of 2"
echo "pmstatus:chromium:60.1:Unpacking chromium (amd64)"
{more}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that is looked at first."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def program(place: Path, name: str, text: str) -> None:
    file = place / name
    file.write_text(text)
    file.chmod(0o755)


def as_user(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: number)


def test_what_is_there_is_not_missing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    assert {"chromium", "nodejs", "npm"} <= set(missing_packages())
    for name in ("chromium", "node", "npm"):
        program(place, name, "#!/bin/sh\n")
    assert not {"chromium", "nodejs", "npm"} & set(missing_packages())


def test_root_installs_and_tells_how_far_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(0, monkeypatch)
    log = place / "log"
    program(place, "apt-get", APT.format(log=log, more=""))
    told: list[str] = []
    install_packages(["chromium", "npm"], told.append)
    assert told[:2] == ["20 % Retrieving file 1 of 2", "60 % Unpacking chromium (amd64)"]
    update, install = log.read_text().splitlines()
    assert update.startswith("noninteractive -y --no-install-recommends ")
    assert update.endswith(" update")
    assert install.endswith(" install chromium npm")


def test_somebody_else_installs_through_a_silent_sudo(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(1000, monkeypatch)
    log = place / "log"
    program(place, "apt-get", APT.format(log=log, more=""))
    program(place, "sudo", f'#!/bin/sh\necho "sudo $1" >>"{log}"\nshift\nexec "$@"\n')
    install_packages(["chromium"], lambda _: None)
    assert log.read_text().splitlines()[0] == "sudo -n"
    assert log.read_text().splitlines()[-1].endswith(" install chromium")


def test_without_rights_it_says_what_to_type(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(1000, monkeypatch)
    program(place, "apt-get", APT.format(log=place / "log", more=""))
    program(place, "sudo", "#!/bin/sh\nexit 1\n")
    with pytest.raises(Failure, match="as root: apt-get install --no-install-recommends chromium nodejs$"):
        install_packages(["chromium", "nodejs"], lambda _: None)
    assert not (place / "log").exists()


def test_on_another_system_it_says_what_is_needed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(Failure, match="The tests need chromium; here is no apt-get"):
        install_packages(["chromium"], lambda _: None)


def test_a_failure_has_its_last_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(0, monkeypatch)
    program(place, "apt-get", APT.format(log=place / "log", more='echo "E: Unable to locate" >&2; exit 100'))
    with pytest.raises(Failure, match="apt-get update: .*E: Unable to locate"):
        install_packages(list(NEEDED), lambda _: None)

"""What `scrip test` installs from npm; a script stands in for npm."""

from pathlib import Path

import pytest

from cli.failure import Failure
from cli.testing import install_node_packages, node_packages_missing

NPM = """#!/bin/sh
echo "$*" >log
{more}
mkdir -p node_modules
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "package-lock.json").write_text('{"version": 1}')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def npm(folder: Path, more: str = "") -> None:
    program = folder / "npm"
    program.write_text(NPM.format(more=more))
    program.chmod(0o755)


def test_what_the_lock_names_is_installed_once(folder: Path) -> None:
    npm(folder)
    assert node_packages_missing(folder)
    install_node_packages(folder)
    assert (folder / "log").read_text().startswith("ci --ignore-scripts")
    assert not node_packages_missing(folder)


def test_another_lock_is_another_installation(folder: Path) -> None:
    npm(folder)
    install_node_packages(folder)
    (folder / "package-lock.json").write_text('{"version": 2}')
    assert node_packages_missing(folder)


def test_what_npm_says_last_is_told(folder: Path) -> None:
    npm(folder, "echo no such version >&2; exit 1")
    with pytest.raises(Failure, match="no such version"):
        install_node_packages(folder)
    assert node_packages_missing(folder)

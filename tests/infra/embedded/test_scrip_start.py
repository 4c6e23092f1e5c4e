"""The script `./scrip`: installs once, again when it must, and says clearly why it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.waiting import ENOUGH_S, patient

SCRIPT = Path(__file__).resolve().parents[3] / "scrip"

# Stands for Python: makes an environment with itself in it and writes down what it was asked to do.
FAKE_PYTHON = """#!/bin/sh
case "$1" in
    -c) exit ${FAKE_STATUS:-0} ;;
esac
echo "$*" >>"$CALLS"
case "$*" in
    "-m venv --clear "*)
        mkdir -p "$4/bin"
        cp "$0" "$4/bin/python"
        touch "$4/bin/pip" ;;
    "-m pip install --no-compile --require"*)
        sleep ${FAKE_DELAY:-0}
        [ -z "${FAKE_PIP_SAYS:-}" ] || { echo "$FAKE_PIP_SAYS"; exit 1; } ;;
    "-P -m cli"*) echo "cli: $*" ;;
esac
"""


class Checkout:
    """A repository root with nothing but what `./scrip` needs, and a fake Python on the path."""

    def __init__(self, root: Path) -> None:
        """Copy the script."""
        self.root = root / "my checkout"
        self.root.mkdir()
        shutil.copy(SCRIPT, self.root / "scrip")
        (self.root / "requirements.txt").write_text("a==1\n")
        self.calls = root / "calls"
        self.bin = root / "bin"
        self.bin.mkdir()
        for tool in (
            "cat",
            "cmp",
            "cp",
            "dirname",
            "env",
            "grep",
            "mkdir",
            "mv",
            "readlink",
            "rm",
            "rmdir",
            "sleep",
            "touch",
        ):
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)
        self.python = self.bin / "python3.12"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start it without waiting."""
        return subprocess.Popen(
            [str(self.root / "scrip"), *arguments],
            env={"PATH": str(self.bin), "CALLS": str(self.calls), **environment},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Its exit status, output and messages."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=patient(60))
        return process.returncode, out, err

    def installations(self) -> int:
        """How often packages were installed."""
        return self.calls.read_text().count("--require-hashes") if self.calls.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh one."""
    return Checkout(tmp_path)


def test_installs_once_and_runs_the_command(checkout: Checkout) -> None:
    status, out, err = checkout.run("demo", "two words")
    assert (status, out) == (0, "cli: -P -m cli demo two words\n")
    assert all(line.startswith("scrip: ") for line in err.splitlines())
    assert checkout.run("x") == (0, "cli: -P -m cli x\n", "")
    assert checkout.installations() == 1
    assert sorted(path.name for path in checkout.root.iterdir()) == [".venv", "requirements.txt", "scrip"]


def test_installs_again_when_requirements_changed_or_the_folder_moved(checkout: Checkout) -> None:
    checkout.run()
    (checkout.root / "requirements.txt").write_text("a==2\n")
    assert checkout.run("x")[0] == 0
    assert checkout.installations() == 2
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert checkout.run("x")[0] == 0
    assert checkout.installations() == 3


def test_failed_installation_is_repeated(checkout: Checkout) -> None:
    assert checkout.run(FAKE_PIP_SAYS="nothing special")[0] == 1
    assert checkout.run("x")[:2] == (0, "cli: -P -m cli x\n")
    assert checkout.installations() == 2


def test_two_first_starts_install_once(checkout: Checkout) -> None:
    both = [checkout.start("x", FAKE_DELAY="0.3") for _ in range(2)]
    results = [(process.communicate(timeout=patient(60))[0], process.returncode) for process in both]
    assert results == [("cli: -P -m cli x\n", 0)] * 2
    assert checkout.installations() == 1


def test_lock_of_a_dead_owner_is_taken_over(checkout: Checkout) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait(ENOUGH_S)
    lock = checkout.root / ".venv.lock"
    lock.mkdir()
    (lock / f"pid-{ended.pid}").touch()
    assert checkout.run("x")[0] == 0
    assert not lock.exists()


@pytest.mark.parametrize(
    ("pip_says", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Retrying after connection broken by 'NewConnectionError(...)'", "needs a network connection"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "differs from its SHA-256"),
        ("ERROR: No matching distribution found", "has no package for this Python"),
        ("something else", "see "),
    ],
)
def test_failure_is_one_sentence(checkout: Checkout, pip_says: str, sentence: str) -> None:
    status, out, err = checkout.run("x", FAKE_PIP_SAYS=pip_says)
    assert (status, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("scrip: Installing packages failed: ")
    assert sentence in last
    assert not (checkout.root / ".venv.lock").exists()


def test_no_python_is_one_sentence(checkout: Checkout) -> None:
    status, out, err = checkout.run(FAKE_STATUS="3")
    assert (status, out) == (1, "")
    assert (
        err == "scrip: Python 3.11, 3.12 or 3.13 is needed and was not found; install one or name it in SCRIP_PYTHON.\n"
    )


def test_python_without_venv_is_one_sentence(checkout: Checkout) -> None:
    assert "python3.12 lacks the venv module" in checkout.run(FAKE_STATUS="4")[2]


def test_a_quick_python_is_chosen_before_a_slow_one_wherever_it_is_on_the_path(checkout: Checkout) -> None:
    """Of those that are equally quick, the first of the highest version."""
    quick = checkout.bin / "later"
    quick.mkdir()
    for name in ("python3.11", "python3"):
        shutil.copy(checkout.python, quick / name)
    checkout.python.write_text(FAKE_PYTHON.replace("exit ${FAKE_STATUS:-0}", "exit 5"))
    status, _, err = checkout.run("x", PATH=f"{checkout.bin}:{quick}")
    assert status == 0
    assert f"making .venv with {quick}/python3.11\n" in err


def test_a_slow_python_is_better_than_none(checkout: Checkout) -> None:
    status, _, err = checkout.run("x", FAKE_STATUS="5")
    assert status == 0
    assert f"making .venv with {checkout.python}\n" in err


def test_named_python_is_used_or_refused(checkout: Checkout) -> None:
    other = checkout.python.rename(checkout.bin / "other")
    assert checkout.run("x", SCRIP_PYTHON=str(other))[0] == 0
    shutil.rmtree(checkout.root / ".venv")
    assert "SCRIP_PYTHON=/missing is not" in checkout.run("x", SCRIP_PYTHON="/missing")[2]


def test_works_through_a_symbolic_link(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run()
    link = tmp_path / "link"
    link.symlink_to(os.path.relpath(checkout.root / "scrip", tmp_path))
    done = subprocess.run(
        [str(link), "x"],
        env={"PATH": str(checkout.bin), "CALLS": str(checkout.calls)},
        capture_output=True,
        text=True,
        check=True,
        timeout=ENOUGH_S,
    )
    assert done.stdout == "cli: -P -m cli x\n"

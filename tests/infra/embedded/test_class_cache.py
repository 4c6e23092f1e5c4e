"""The cache of a broker's classes: used where it is there, and never in the way."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.embedded import DataFolder, kafka
from infra.embedded.jars import ensure_jars
from infra.embedded.kafka import class_cache, java_command, make_class_cache
from tests.waiting import patient


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    """A jar in a folder of its own."""
    file = tmp_path / "jars" / "one.jar"
    file.parent.mkdir()
    file.touch()
    return file


def test_it_is_named_for_all_that_it_is_made_of(jar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = class_cache([jar])
    assert first.parent == jar.parent
    other_jars = class_cache([jar, jar.with_name("two.jar")])
    monkeypatch.setattr(kafka, "JAVA_OPTIONS", ("-Xmx1g",))
    other_options = class_cache([jar])
    monkeypatch.setattr(kafka, "version", lambda _name: "0")
    other_java = class_cache([jar])
    assert len({first, other_jars, other_options, other_java}) == 4


def test_it_is_used_where_it_is_there(jar: Path, folder: DataFolder) -> None:
    named = f"-XX:AOTCache={class_cache([jar])}"
    assert named not in java_command(folder, [jar])
    class_cache([jar]).touch()
    assert named in java_command(folder, [jar])
    assert named not in java_command(folder, [jar], ["-XX:AOTCacheOutput=other"])


def test_one_that_does_not_fit_is_done_without(jar: Path, folder: DataFolder) -> None:
    class_cache([jar]).write_bytes(b"nothing that Java knows" * 1000)
    done = subprocess.run(
        [*java_command(folder, [jar]), "-version"], capture_output=True, text=True, check=False, timeout=patient(60)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "aot" not in done.stdout + done.stderr


def test_it_is_made_once() -> None:
    """`scrip test` makes it before the tests; alone, this test does."""
    make_class_cache()
    made = class_cache(ensure_jars())
    before = made.stat()
    make_class_cache()
    assert (made.stat().st_ino, made.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert before.st_size > 1_000_000
    assert list(made.parent.glob("*.aot.*")) == []

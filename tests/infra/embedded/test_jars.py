"""Jars: every one checked, damage repaired once, nothing asked of the network without need."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path

import pytest

from infra.embedded.errors import CorruptJar, JarsUnavailable
from infra.embedded.jars import LOCK_FILE, LockedJar, cache_folder, ensure_jars, read_lock

CONTENT = {f"org.example:part-{n}:1.0": f"jar {n}".encode() for n in range(6)}
JARS = tuple(LockedJar(name, hashlib.sha256(content).hexdigest()) for name, content in CONTENT.items())


class Repository:
    """Serves CONTENT as a network would, and counts."""

    def __init__(self) -> None:
        """Healthy."""
        self.asked: list[str] = []
        self.damaged_answers = 0
        self._lock = threading.Lock()

    def __call__(self, jar: LockedJar, folder: Path) -> Path:
        """Write the jar into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / jar.file_name
        with self._lock:
            self.asked.append(jar.coordinate)
            damaged = self.damaged_answers > 0
            self.damaged_answers -= damaged
        file.write_bytes(b"damaged" if damaged else CONTENT[jar.coordinate])
        return file


def test_fetches_once_then_never_again(tmp_path: Path) -> None:
    repository = Repository()
    seen: list[tuple[int, int, str]] = []
    paths = ensure_jars(lambda *step: seen.append(step), cache=tmp_path, locked=JARS, fetch=repository)
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert sorted(repository.asked) == sorted(CONTENT)
    assert [step[:2] for step in seen] == [(n, 6) for n in range(1, 7)]
    assert ensure_jars(cache=tmp_path, locked=JARS, fetch=repository) == paths
    assert len(repository.asked) == 6
    assert not list(tmp_path.glob("fetch-*"))


@pytest.mark.parametrize("damage", ["overwritten", "missing"])
def test_damaged_jar_is_fetched_again(tmp_path: Path, damage: str) -> None:
    repository = Repository()
    paths = ensure_jars(cache=tmp_path, locked=JARS, fetch=repository)
    if damage == "missing":
        paths[2].unlink()
    else:
        paths[2].write_bytes(b"broken")
    repository.asked.clear()
    ensure_jars(cache=tmp_path, locked=JARS, fetch=repository)
    assert repository.asked == [JARS[2].coordinate]
    assert paths[2].read_bytes() == CONTENT[JARS[2].coordinate]


def test_one_damaged_download_is_repeated(tmp_path: Path) -> None:
    repository = Repository()
    repository.damaged_answers = 1
    ensure_jars(cache=tmp_path, locked=JARS[:1], fetch=repository)
    assert repository.asked == [JARS[0].coordinate] * 2


def test_second_damaged_download_is_refused_by_name(tmp_path: Path) -> None:
    repository = Repository()
    repository.damaged_answers = 2
    with pytest.raises(CorruptJar, match="org.example:part-0:1.0") as refusal:
        ensure_jars(cache=tmp_path, locked=JARS[:1], fetch=repository)
    assert refusal.value.jar == JARS[0].coordinate
    assert not (tmp_path / JARS[0].file_name).exists()


def test_new_digest_in_the_lock_is_noticed(tmp_path: Path) -> None:
    repository = Repository()
    ensure_jars(cache=tmp_path, locked=JARS[:1], fetch=repository)
    with pytest.raises(CorruptJar):
        ensure_jars(cache=tmp_path, locked=[LockedJar(JARS[0].coordinate, "0" * 64)], fetch=repository)


def test_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(JarsUnavailable, match="cannot be downloaded .* needs a network connection"):
        ensure_jars(cache=tmp_path)
    assert not list(tmp_path.glob("fetch-*"))


def test_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JarsUnavailable, match="cannot be kept in"):
        ensure_jars(cache=tmp_path / "file" / "jars", locked=JARS, fetch=Repository())


def test_cache_folder_is_outside_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCRIP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/scrip/jars")
    monkeypatch.setenv("SCRIP_CACHE", "/own")
    assert cache_folder() == Path("/own/jars")


def test_lock_file_names_every_jar_with_its_digest_and_no_host() -> None:
    jars = read_lock()
    assert len({jar.file_name for jar in jars}) == len(jars) > 40
    assert {"org.apache.kafka:kafka_2.13:4.1.0", "org.apache.kafka:kafka-tools:4.1.0"} <= {
        jar.coordinate for jar in jars
    }
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert "://" not in LOCK_FILE.read_text()

"""How much room is left, and what that means for commands."""

from pathlib import Path

import pytest

from infra.disk import DiskWatch, disk_watch, room_of, watched, watched_text
from infra.settings import Settings

MORE_THAN_ANY = 2**62


def test_the_room_of_a_folder_is_what_an_ordinary_user_has(tmp_path: Path) -> None:
    room = room_of(tmp_path, "postgres")
    assert room is not None
    assert 0 < room.free <= room.size
    assert room.sentence == f"{room.free // 1024**2:,} MB are free on the disk of PostgreSQL"
    assert room_of(tmp_path / "none") is None


def test_only_the_disk_of_postgresql_has_a_reserve(tmp_path: Path) -> None:
    assert DiskWatch({"postgres": str(tmp_path)}, MORE_THAN_ANY).full
    assert not DiskWatch({"postgres": str(tmp_path)}, 0).full
    assert not DiskWatch({"kafka": str(tmp_path)}, MORE_THAN_ANY).full
    assert not DiskWatch({"postgres": str(tmp_path / "none")}, MORE_THAN_ANY).full
    assert not DiskWatch({}, MORE_THAN_ANY).full


def test_a_disk_is_told_once_for_all_its_folders(tmp_path: Path) -> None:
    folders = {"postgres": str(tmp_path), "kafka": str(tmp_path), "data": str(tmp_path)}
    (issue,) = DiskWatch(folders, MORE_THAN_ANY).issues()
    assert "commands are refused below" in issue
    assert issue.endswith("(runbook: disk-full).")
    assert str(tmp_path) not in issue  # anybody may ask for /health


def test_what_was_seen_is_looked_at_again_after_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("infra.disk.monotonic", lambda: now)
    watch = DiskWatch({"postgres": str(tmp_path / "later")}, MORE_THAN_ANY)
    assert not watch.full
    (tmp_path / "later").mkdir()
    assert not watch.full
    now += 1.5
    assert watch.full


def test_the_setting(tmp_path: Path) -> None:
    assert watched("") == {}
    assert watched(" postgres=/var/a b , kafka=/k=1,") == {"postgres": "/var/a b", "kafka": "/k=1"}
    own = watched(watched_text(tmp_path))
    assert own == {"postgres": f"{tmp_path}/postgres", "kafka": f"{tmp_path}/kafka", "data": str(tmp_path)}
    assert disk_watch(Settings(disk_reserve_mb=3)).reserve == 3 * 1024**2

"""The secrets of a data folder: made once, completed by a newer version, and never made anew over a damaged file."""

import json
import stat
from pathlib import Path

import pytest

from cli.failure import Failure
from cli.service.settings import FILE, ensure_secrets, read_secrets
from infra.embedded.folder import DataFolder
from infra.postgres.logins import LOGINS


def test_they_are_made_once(tmp_path: Path) -> None:
    assert read_secrets(tmp_path) is None
    with DataFolder(tmp_path) as folder:
        made = ensure_secrets(folder)
        assert ensure_secrets(folder) == made
    assert read_secrets(tmp_path) == made
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert set(made.passwords()) == set(LOGINS)


def test_a_folder_of_an_earlier_version_gets_what_it_lacks(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        made = ensure_secrets(folder)
        known = json.loads((tmp_path / FILE).read_text())
        del known["scrip_auditor"]
        (tmp_path / FILE).write_text(json.dumps(known))
        with pytest.raises(Failure, match="scrip_auditor"):
            read_secrets(tmp_path)
        completed = ensure_secrets(folder)
    assert completed.scrip_auditor not in {"", made.scrip_auditor}
    assert {**completed.passwords(), "scrip_auditor": made.scrip_auditor} == made.passwords()
    assert completed.jwt == made.jwt


@pytest.mark.parametrize("text", ["", "{", "[]", '{"unknown": 1}'])
def test_a_damaged_file_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with DataFolder(tmp_path) as folder, pytest.raises(Failure, match="damaged"):
        ensure_secrets(folder)
    assert (tmp_path / FILE).read_text() == text

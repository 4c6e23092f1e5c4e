"""What makes a row of a usage file itself, so that it is charged once however often it is imported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256


def source_of(org: str, account: str) -> str:
    """The CloudEvents source of the rows charged to an account."""
    return f"scrip-import:{org}:{account}"


class RowIdentities:
    """Gives each row of one file its id: SHA-256 of its cells and of how many equal rows came before it.

    Two equal rows of a file are two uses; the same file imported again has the same ids. Cells count as they are
    read, so quoting and line ends make no difference. One digest of 16 bytes is kept for each different row.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def next(self, cells: Sequence[str]) -> str:
        """The id of the file's next row, 64 hexadecimal digits."""
        row = sha256(json.dumps(list(cells), ensure_ascii=False, separators=(",", ":")).encode())
        short = row.digest()[:16]
        occurrence = self._seen.get(short, 0) + 1
        self._seen[short] = occurrence
        row.update(b"#%d" % occurrence)
        return row.hexdigest()

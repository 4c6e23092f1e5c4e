"""What makes documents to print is loaded with the first of them, not with the API."""

import subprocess
import sys

from tests.cli.program import ROOT, environment

LOADS = """
import sys
import cli.api_role
assert sys.modules.keys().isdisjoint({"fpdf", "fontTools"}), sorted(sys.modules)
import datetime
from api.accounts.reads import as_pdf
now = datetime.datetime.now(datetime.UTC)
document = {"address": "user:u:credits", "from": now, "to": now, "opening": 0, "closing": 0, "movements": []}
assert as_pdf(document).startswith(b"%PDF-")
"""


def test_the_api_loads_no_library_of_documents() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADS],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr

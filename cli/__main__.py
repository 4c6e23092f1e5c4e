"""`python -m cli`: what `./scrip` runs; as a script (`python -P …/cli/__main__.py`) what it starts as children."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from cli.app import main  # noqa: E402 - only now can it be found

main()

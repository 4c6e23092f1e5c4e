"""`python -m cli`: what `./scrip` runs; as a script (`python -P …/cli/__main__.py`) what it starts as children."""

import gc
import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

# What is loaded stays. Looking through it for garbage, over and over, was a tenth of each start.
gc.set_threshold(100_000, 50, 50)

from cli.app import main  # noqa: E402 - only now can it be found

main()

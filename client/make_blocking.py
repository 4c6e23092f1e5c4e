"""Generates `scrip_client/blocking.py` from `scrip_client/asynchronous.py`: `python client/make_blocking.py`."""
# ruff: noqa: INP001, S603 - a program of its own, in no package, that runs ruff

import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("scrip_client") / "asynchronous.py"
MADE = SOURCE.with_name("blocking.py")
HEAD = '"""The client\'s blocking form, made from `asynchronous.py` by `client/make_blocking.py`. Change that file."""'
_REPLACED = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "for each in found:\n                yield each": "yield from found",
}


def blocking() -> str:
    """The blocking form's source, as it is to be committed."""
    code = re.sub(r"\b(async|await) ", "", SOURCE.read_text().partition("\n")[2])
    code = re.sub(r"(?<!`)\bAsync(?=[A-Z])", "", code)
    for old, new in _REPLACED.items():
        code = code.replace(old, new)
    ruff = [sys.executable, "-m", "ruff"]
    made = f"{HEAD}\n{code}"
    for command in (["check", "--quiet", "--select=I", "--fix"], ["format"]):
        arguments = [*ruff, *command, "--stdin-filename", str(MADE), "-"]
        made = subprocess.run(arguments, input=made, capture_output=True, text=True, check=True).stdout
    return made


if __name__ == "__main__":
    MADE.write_text(blocking())

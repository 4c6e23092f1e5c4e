"""The blocking client is made of the asynchronous one, and is plain methods to `help()` and to editors."""

import inspect
import pydoc
import runpy

import pytest
import scrip_client

from tests.source_tree import ROOT

MAKER = ROOT / "client" / "make_blocking.py"


def test_it_is_what_the_asynchronous_form_makes() -> None:
    made = runpy.run_path(str(MAKER))
    assert made["MADE"].read_text() == made["blocking"](), "run `.venv/bin/python client/make_blocking.py`"


@pytest.mark.parametrize(("blocking", "asynchronous"), [("Scrip", "AsyncScrip"), ("Generation", "AsyncGeneration")])
def test_both_have_the_same_plain_methods(blocking: str, asynchronous: str) -> None:
    one, other = getattr(scrip_client, blocking), getattr(scrip_client, asynchronous)
    names = [name for name in vars(other) if not name.startswith("_")]
    assert names == [name for name in vars(one) if not name.startswith("_")]
    for name in names:
        method = getattr(one, name)
        assert inspect.isfunction(method)
        assert (method.__doc__, list(inspect.signature(method).parameters)) == (
            getattr(other, name).__doc__,
            list(inspect.signature(getattr(other, name)).parameters),
        )


def test_help_shows_parameters_with_their_types() -> None:
    told = pydoc.plain(pydoc.render_doc(scrip_client.Scrip.reserve))
    for part in ("address: str", "amount: int", "ttl_seconds: int = 900", "-> scrip_client.answers.Reserved"):
        assert part in told, told

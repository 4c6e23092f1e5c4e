"""The price editor: rows as people type them, a look at what changes, publishing, and going back."""

import json
import re
from typing import Any

import pytest

from console.admin.members import names_in
from console.admin.price_rows import COLUMNS, as_csv, entries_of, entry_of, read_rows, row_of
from console.api import ApiProblem
from console.person import ADMIN, AUDITOR
from tests.api.service import Service
from tests.console.conftest import Visitor, csrf_of

BLANK = dict.fromkeys(COLUMNS, "")
ENTRIES: list[dict[str, Any]] = [
    {"provider": "MiniMax", "model": "Hailuo", "operation": "video", "options": {"resolution": "768P", "duration": 6},
     "credits": 680},
    {"model": "Music", "operation": "music", "at_most": {"duration": 90}, "credits": 90, "tokens": 3, "usd": "0.04"},
    {"operation": "image", "options": {"size": "10", "hd": True, "note": 'a, "b"'}, "usd": "0.12"},
    {"model": "Meter", "credits": 1, "rates": {"seconds": 5}, "complexity": {"high": 150},
     "bulk": [{"count": 10, "percent_off": 20}]},
    {"model": "Chat", "rates": {"input": 5}, "expected_usage": {"input": 800}},
    {"model": "Trial", "free": True},
    {"model": "Later", "credits": 1, "of_a_later_version": {"x": [1, "y"]}},
]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_survives_being_typed(entry: dict[str, object]) -> None:
    assert entry_of(row_of(entry), 1) == entry


def test_a_table_survives_export_and_paste() -> None:
    assert entries_of(read_rows(as_csv(ENTRIES))) == ENTRIES
    assert entries_of(read_rows(json.dumps({"version": 3, "entries": ENTRIES}))) == ENTRIES
    assert entries_of(read_rows(json.dumps(ENTRIES))) == ENTRIES


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"options": "resolution"}, "Row 7: “resolution” is no option"),
        ({"options": "duration<=long"}, "Row 7: duration<= needs a whole number"),
        ({"options": "a=1 b=2, =3"}, "Row 7: “=3” is no option"),
        ({"credits": "ten"}, "Row 7, credits: “ten” is not a whole number"),
        ({"more": "{"}, "Row 7, further rules: this is not JSON"),
        ({"more": '{"credits": 1}'}, "further rules are an object of what has no column"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_row(row: dict[str, str], told: str) -> None:
    with pytest.raises(ApiProblem) as problem:
        entry_of(BLANK | row, 7)
    assert told in problem.value.detail


@pytest.mark.parametrize("given", ["a,b\n1,2", "credits\n5", "[1]", "{", '{"entries": 1}', '[{"modell": "x"}]'])
def test_a_table_of_something_else_is_refused(given: str) -> None:
    with pytest.raises(ApiProblem):
        read_rows(given)


def test_a_table_with_semicolons_and_missing_columns_is_read() -> None:
    (row,) = read_rows("Model;Credits\nX;5\n;\n")
    assert entry_of(row, 1) == {"model": "X", "credits": 5}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("ann, ben;cleo\n dan", ["ann", "ben", "cleo", "dan"]),
        ('"ann"\n"ann"', ["ann", "ann"]),
        ("name,user_id\nAnn Smith,ann\nBen,ben\n", ["ann", "ben"]),
        ("User;Team\nann;a\n;b", ["ann"]),
        ("", []),
    ],
)
def test_ids_are_found_however_they_were_pasted(given: str, names: list[str]) -> None:
    assert names_in(given) == names


def test_prices_are_looked_at_published_and_taken_back(site: Service, visitor: Visitor) -> None:
    client, api = visitor(ADMIN, "root"), site.client("admin", "root")
    page = client.get("/admin/prices").text
    before = api.get("/api/v1/prices").json()
    rows = [row_of(entry) for entry in before["entries"]]
    changed = [rows[0] | {"credits": "333"}, *rows[2:], BLANK | {"model": "New", "operation": "image", "credits": "9"}]
    form = {name: [row[name] for row in changed] for name in COLUMNS}
    typed = {"csrf": csrf_of(page), "latest": before["latest"], **form}
    told = client.post("/admin/prices/preview", data=typed).text
    assert re.findall(r"(Changed|Added|Removed)</span>", told) == ["Changed", "Added", "Removed"]
    assert "Nothing was generated in the last week" in told
    entries = json.dumps(entries_of(changed))
    publishing = {"csrf": csrf_of(page), "latest": before["latest"], "entries": entries}
    answer = client.post("/admin/prices", data=publishing)
    assert "is published. It takes effect in 5 seconds." in client.get(answer.headers["location"]).text
    newest = api.get(f"/api/v1/prices?version={before['latest'] + 1}").json()
    assert newest["entries"][0]["credits"] == 333
    stale = client.post("/admin/prices", data=publishing)
    assert 'class="flash error"' in client.get(stale.headers["location"]).text  # somebody else was first
    old = client.get(f"/admin/prices?version={before['version']}").text
    assert "To go back to it, preview and publish it." in old
    assert 'value="333"' not in old


def test_a_wrong_row_is_told_in_the_preview(site: Service, visitor: Visitor) -> None:
    client = visitor(ADMIN, "root")
    token = csrf_of(client.get("/admin/prices").text)
    twice = [BLANK | {"model": "X", "credits": "1"}] * 2
    typed = {"csrf": token, **{name: [row[name] for row in twice] for name in COLUMNS}}
    answer = client.post("/admin/prices/preview", data=typed)
    assert answer.status_code == 422
    assert "Row 2" in answer.text
    assert "prices the same thing as Row 1" in answer.text
    assert site.client("admin").get("/api/v1/prices").status_code == 200


def test_a_pasted_table_goes_into_the_editor(visitor: Visitor) -> None:
    client = visitor(ADMIN, "root")
    token = csrf_of(client.get("/admin/parts/paste-prices").text)
    given = {"csrf": token, "pasted": "model,operation,credits\nPasted,image,5", "mode": "add"}
    answer = client.post("/admin/prices/paste", data=given)
    assert 'value="Pasted"' in answer.text
    assert answer.headers["HX-Retarget"] == "#price-rows"
    assert answer.headers["HX-Reswap"] == "beforeend"
    wrong = client.post("/admin/prices/paste", data=given | {"pasted": "nonsense"})
    assert wrong.status_code == 422
    assert "The first line must name columns" in wrong.text


def test_the_book_is_exported(visitor: Visitor) -> None:
    client = visitor(AUDITOR, "eye")
    exported = client.get("/admin/prices/export.csv")
    assert exported.content.startswith(b"\xef\xbb\xbf")  # for Excel
    text = exported.content.decode("utf-8-sig")
    assert text.startswith("provider,model,operation,options,credits,tokens,usd,more")
    assert len(entries_of(read_rows(text))) == text.strip().count("\n")
    assert client.get("/admin/prices/export.json").json()["entries"]
    assert client.get("/admin/prices/export.exe").status_code == 404

"""Usage files as people have them: each form is read as it is meant, or refused with its line before it is sent."""

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from api.prices import shown
from cli.failure import Failure
from cli.importing.forms import ByPriceBook, ByRates
from cli.importing.prices import Prices
from cli.importing.rows import Reading, WrongFile, check_rows
from cli.importing.source import usage_file
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import PriceEntry
from domain.prices.quote import Ask
from tests.cli.importing import checked, rows_in

RATES = ByRates("user:{user}:credits", {"in": 1000, "out": 2000})
PLAIN = "time,user,in,out\n2026-01-31T12:00:00Z,ann,1000,5\n2026-01-31T12:00:01Z,ben,7,1\n"
CHAT = PriceEntry(model="chat-1", operation="chat", credits=5, rates={"input_tokens": 3, "output_tokens": 9})
BOOK = Prices((*CATALOGUE, CHAT))


def general(**more: dict[str, str]) -> ByPriceBook:
    return ByPriceBook(None, BOOK, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").encode(),
        ("sep=;\r\n" + PLAIN.replace(",", ";")).encode(),
        b'"time";"user";"in";"out"\n' + PLAIN.split("\n", 1)[1].replace(",", ";").encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.encode() + b"\n\r\n,,,\n  \n",
        PLAIN.rstrip("\n").encode(),
        PLAIN.replace("1000", '"1,000"').encode(),
        PLAIN.replace("1000", "1000.0").replace("7,1", "7.00,1").encode(),
    ],
)
def test_a_table_is_read_as_it_is_meant(content: bytes, tmp_path: Path) -> None:
    rows = rows_in(tmp_path, content, RATES)
    assert [(row.account, row.data and row.data["amount"], row.time) for row in rows] == [
        ("user:ann:credits", 1010, "2026-01-31T12:00:00Z"),
        ("user:ben:credits", 9, "2026-01-31T12:00:01Z"),
    ]


def test_an_empty_cell_is_nothing_used_but_not_in_all_of_them(tmp_path: Path) -> None:
    (row,) = rows_in(tmp_path, "user,in,out\nann,,3\n", RATES)
    assert row.data == {"address": "user:ann:credits", "amount": 6}
    with pytest.raises(WrongFile, match="line 2: in is ''; allowed is a whole number from 0"):
        checked(tmp_path, "user,in,out\nann,,\n", RATES)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("user,in,out\nJosé,1,1\n", ["line 2: user is 'José'; allowed is letters A to Z"]),
        ("user,in,out\n,1,1\n", ["line 2: user is ''"]),
        ("user,in,out\nann,1;1\n", ["line 2: 2 cells where the header has 3"]),
        ("user,in,out\nann,1.000,1\n", ["line 2: in is '1.000'"]),
        ("user;in;out\nann;1,000;1\n", ["line 2: in is '1,000'"]),
        ("user,in,out\nann,1e3,NaN\n", ["line 2: in is '1e3'", "line 2: out is 'NaN'"]),
        ("user,in,out\nann,-1,1\n", ["line 2: in is '-1'"]),
        ("user,in,out\na\x00n,1,1\n", [r"line 2: user is 'a\x00n'; allowed is text without a NUL"]),
        ('user,in,out\nann,1,1\n"a\nb",1,1\nben,x,1\n', [r"line 3: user is 'a\nb'", "line 5: in is 'x'"]),
        ('user,in,out\nann,x,1\nben,"1,1\n', ["line 2: in is 'x'", "line 3: unexpected end of data", "not checked"]),
        ("user,in,out\nann,1,1\nben,1", ["line 3: 2 cells where the header has 3"]),
        ("user,in,in,out\nann,1,1,1\n", ["line 1: two columns have the same name: 'in'"]),
        ("user,in,0ut\nann,1,1\n", ["line 1: there is no column out; the columns are user, in, 0ut"]),
        ("in,out\n1,1\n", ["--account names the column 'user'"]),
        ("\n\n", ["line 1: the file is empty"]),
    ],
)
def test_every_wrong_line_is_named(content: str, said: list[str], tmp_path: Path) -> None:
    with pytest.raises(WrongFile) as wrong:
        checked(tmp_path, content, RATES)
    for each in said:
        assert each in str(wrong.value)
    assert "nothing was sent" in str(wrong.value)


def test_many_wrong_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(WrongFile) as wrong:
        checked(tmp_path, "user,in,out\n" + "ann,x,1\n" * 500, RATES)
    assert str(wrong.value).count("line ") == 20
    assert str(wrong.value).startswith(f"{tmp_path / 'usage.csv'}: 500 lines are wrong")
    assert "and 480 more lines" in str(wrong.value)
    assert wrong.value.checked.as_json()["wrong_lines"] == 500


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(PLAIN.encode(), mtime=0), "compressed with gzip"),
        (b"PK\x03\x04rest", "an Excel workbook"),
        (b"PAR1rest", "a Parquet file"),
        (PLAIN.encode("utf-16")[:-1], "is not UTF-16 text"),
        (PLAIN.encode("utf-16-le"), "NUL character"),
        (PLAIN.replace("ann", "añn").encode("latin-1"), "is not UTF-8 text"),
    ],
    ids=["gzip", "xlsx", "parquet", "cut UTF-16", "UTF-16 without a mark", "latin-1"],
)
def test_what_is_no_whole_text_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=said):
        checked(tmp_path, content, RATES)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "usage.csv"
    for change in (lambda: os.truncate(file, 20), lambda: file.write_text(PLAIN * 2)):
        file.write_text(PLAIN)
        os.utime(file, ns=(1, 1))
        states = iter((lambda: None, change))

        def fstat(descriptor: int, real: object = os.fstat, states: object = states) -> os.stat_result:
            next(states)()  # type: ignore[call-overload]
            return real(descriptor)  # type: ignore[operator,no-any-return]

        monkeypatch.setattr("cli.importing.source.os.fstat", fstat)
        with pytest.raises(Failure, match="changed while it was read"), usage_file(file):
            pass
        monkeypatch.undo()


def test_what_was_checked_is_sent_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    from cli.importing.rows import rows_of

    file = tmp_path / "usage.csv"
    file.write_text(PLAIN)
    with usage_file(file) as opened:
        reading = Reading(RATES, "acme")
        assert check_rows(opened, reading).credits == 1019
        file.write_text("user,in,out\neve,99,99\n")
        assert [row.account for row in rows_of(opened, reading)] == ["user:ann:credits", "user:ben:credits"]


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    child = os.fork()
    if child == 0:
        pipe.write_text(PLAIN)
        os._exit(0)
    with usage_file(pipe) as opened:
        assert check_rows(opened, Reading(RATES, "acme")).rows == 2
    assert os.waitpid(child, 0) == (child, 0)  # the pipe was read to its end, so that the child has ended


def test_units_are_usage_that_the_entrys_rates_price(tmp_path: Path) -> None:
    text = (
        "time,user,model,operation,input_tokens,output_tokens,resolution,duration\n"
        "t,ann,chat-1,chat,1000000,1,,\n"
        "t,ann,MiniMax-Hailuo-02,video,,,1080P,6\n"
        "t,ann,MiniMax-Hailuo-02,video,0,0,512P,6\n"
        "t,ann,chat-1,chat,0,0,,\n"
    )
    rows = rows_in(tmp_path, text, general())
    assert rows[0].data is not None
    assert rows[0].data["usage"] == {"input_tokens": 1_000_000, "output_tokens": 1}
    assert "options" not in rows[0].data
    assert [row.data and row.data.get("usage") for row in rows[1:]] == [None, None, None]
    assert rows[3].data is None  # nothing was used, so that the rates say nothing is charged
    found = checked(tmp_path, text, general())
    assert found.credits == 3001 + 1100 + 320
    assert found.by == {("user:ann:credits", "chat-1"): [2, 3001], ("user:ann:credits", "MiniMax-Hailuo-02"): [2, 1420]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "user,model,operation,resolution,duration,input_tokens\nann,MiniMax-Hailuo-02,video,512P,6,10\n",
            "line 2: input_tokens is '10'; allowed is nothing: the price of MiniMax-Hailuo-02 512P 6s has no rate",
        ),
        ("user,model,reasoning_tokens\nann,chat-1,10\n", "its rates are for input_tokens, output_tokens"),
        ("user,model,input_token\nann,chat-1,10\n", "the columns 'input_token' are"),
        ("user,model,Input Tokens\nann,chat-1,10\n", "the columns 'Input Tokens' are"),
        ("user,model,request_id\nann,chat-1,10\n", "--ignore COLUMN"),
        ("user,model,count\nann,FLUX.1 [dev],x\n", "line 2: count is 'x'; allowed is a whole number from 1"),
    ],
)
def test_a_column_without_a_meaning_or_a_unit_without_a_rate_is_an_error(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(WrongFile) as wrong:
        checked(tmp_path, text, general())
    assert said in str(wrong.value)


def test_columns_may_be_given_their_meaning(tmp_path: Path) -> None:
    form = general(usage={"In": "input_tokens", "In 2": "input_tokens"}, options={"res": "resolution"})
    form.ignored = frozenset({"note", "res"} - {"res"})
    (row,) = rows_in(tmp_path, "user,model,In,In 2,res,note\nann,chat-1,1000,500,HD,x\n", form)
    assert row.data is not None
    assert row.data["usage"] == {"input_tokens": 1500}
    assert row.data["options"] == {"resolution": "HD"}


def test_a_column_may_be_the_identity(tmp_path: Path) -> None:
    text = "user,request,in,out\nann,r-1,1,1\nben,r-2,1,1\nann,r-1,1,1\n"
    rows = rows_in(tmp_path, text, RATES, id="request")
    assert [(row.id, row.repeated) for row in rows] == [("r-1", False), ("r-2", False), ("r-1", True)]
    assert checked(tmp_path, text, RATES, id="request").credits == 6
    for wrong, said in (
        ("ann,r-1,1,2\n", "line 5: request is 'r-1'; allowed is an id of its own"),
        ("ann,,1,2\n", "line 5: request is ''"),
        ("ann,r 3,1,2\n", "line 5: request is 'r 3'"),
    ):
        with pytest.raises(WrongFile) as error:
            checked(tmp_path, text + wrong, RATES, id="request")
        assert said in str(error.value)
    with pytest.raises(WrongFile, match="--id names the column 'nope'"):
        checked(tmp_path, text, RATES, id="nope")


@pytest.mark.parametrize(
    ("cell", "sent"),
    [
        ("2023-11-16 18:15:46.6805900", "2023-11-16T18:15:46.680590Z"),
        ("2026-01-31T12:00:00+05:30", "2026-01-31T06:30:00Z"),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31 12:00:00 UTC", "2026-01-31T12:00:00Z"),
        ("1700158546", "2023-11-16T18:15:46Z"),
        ("1700158546123", "2023-11-16T18:15:46.123000Z"),
        ("yesterday", None),
    ],
)
def test_the_time_of_use_goes_along(cell: str, sent: str | None, tmp_path: Path) -> None:
    text = f"time,user,in,out\n{cell},ann,1,1\n"
    assert [row.time for row in rows_in(tmp_path, text, RATES)] == [sent]
    if sent is None:
        with pytest.raises(WrongFile, match="line 2: time is 'yesterday'; allowed is a time such as"):
            checked(tmp_path, text, RATES, time="time")


def test_a_price_that_was_published_under_older_rules_is_read_as_it_is(tmp_path: Path) -> None:
    """What a price may say has become narrower; what was published before stays in force."""
    old = (
        PriceEntry(model="clip", options={"duration": "6"}, credits=5, bulk=((2, 10),)),
        PriceEntry(model="talk", rates={"input": 500}, usd_micros=1),
    )
    form = ByPriceBook("user:u1:credits", Prices.of({"entries": [shown(entry) for entry in (*old, *CATALOGUE)]}))
    rows = rows_in(tmp_path, "model,duration,count,input\nclip,6,2,\ntalk,,,3000\n", form)
    assert [form.prices.cost(_asked(row.data), (row.data or {}).get("usage", {})) for row in rows] == [9, 1500]
    with pytest.raises(Failure, match="price book cannot be read"):
        Prices.of({"entries": [{"model": "clip", "credits": "5"}]})


def _asked(data: dict[str, Any] | None) -> Ask:
    data = data or {}
    return Ask(model=data["model"], options=data.get("options", {}))

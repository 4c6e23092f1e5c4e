"""How a usage file is read: what each row costs, who pays, and what makes it itself."""

from pathlib import Path

import pytest

from cli.failure import Failure
from cli.importing.forms import ByPriceBook, ByRates, Form, RowIdentities, parse_rates, source_of
from cli.importing.prices import Prices
from cli.importing.rows import UsageRow
from domain.prices.catalogue import CATALOGUE
from tests.cli.importing import rows_in

RATES = ByRates("user:trace:credits", {"ContextTokens": 1, "GeneratedTokens": 4})


def read(tmp_path: Path, text: str, form: Form = RATES) -> list[UsageRow]:
    return rows_in(tmp_path, text, form)


def test_a_row_costs_the_sum_of_its_columns_rounded_up_once(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "t1,374,44\n"  # 374 + 176 = 550 thousandths
        "t2,1000,250\n"  # exactly 2
        "t3,1001,250\n"  # 2.001
        "t4,0,0\n",
    )
    amounts = [row.data["amount"] if row.data else None for row in rows]
    assert amounts == [1, 2, 3, None]
    assert {row.account for row in rows} == {"user:trace:credits"}


def test_equal_rows_are_uses_of_their_own_and_the_same_at_every_import(tmp_path: Path) -> None:
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\nt,1,1\nt,1,1\nt,1,2\nt,1,1\n"
    first = [row.id for row in read(tmp_path, text)]
    assert len(set(first)) == 4
    assert [row.id for row in read(tmp_path, text)] == first
    # Another row before them changes nothing, nor do line ends, quotes or a byte order mark.
    longer = "\ufeff" + text.replace("GeneratedTokens\n", "GeneratedTokens\nnew,5,5\n").replace("t,1,2", '"t","1","2"')
    assert [row.id for row in read(tmp_path, longer.replace("\n", "\r\n"))][1:] == first


def test_cells_are_not_run_together() -> None:
    assert RowIdentities().next(["ab", "c"]) != RowIdentities().next(["a", "bc"])
    assert RowIdentities().next(["a,b"]) != RowIdentities().next(["a", "b"])


def test_the_source_names_organisation_and_account() -> None:
    assert source_of("acme", "user:u:credits") == "scrip-import:acme:user:u:credits"


def test_the_general_form_leaves_the_price_to_the_price_book(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        "time,user,operation,provider,model,resolution,duration\n"
        "t1,ann,video,MiniMax,MiniMax-Hailuo-02,1080P,6\n"
        "t2,ben,image,BFL,FLUX.1 [dev],,\n",
        ByPriceBook(None, Prices(CATALOGUE)),
    )
    assert [row.account for row in rows] == ["user:ann:credits", "user:ben:credits"]
    assert rows[0].data == {
        "address": "user:ann:credits",
        "operation": "video",
        "provider": "MiniMax",
        "model": "MiniMax-Hailuo-02",
        "options": {"resolution": "1080P", "duration": 6},
    }
    assert rows[1].data == {
        "address": "user:ben:credits",
        "operation": "image",
        "provider": "BFL",
        "model": "FLUX.1 [dev]",
    }


def test_one_account_may_pay_for_all(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "user,amount\nann,7\n", ByPriceBook("org:acme:credits"))
    assert (row.account, row.data) == ("org:acme:credits", {"address": "org:acme:credits", "amount": 7})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("a,a\n", "two columns have the same name"),
        ("TIMESTAMP,ContextTokens\nt,1\n", "there is no column GeneratedTokens"),
        ("ContextTokens,GeneratedTokens\n1,2\n1,x\n", "line 3: GeneratedTokens is 'x'"),
        ("ContextTokens,GeneratedTokens\n1,-2\n", "line 2: GeneratedTokens is '-2'"),
        ("ContextTokens,GeneratedTokens\n1,2.5\n", "line 2: GeneratedTokens is '2.5'"),
        ("ContextTokens,GeneratedTokens\n1,٣\n", "line 2: GeneratedTokens is '٣'"),
        ("ContextTokens,GeneratedTokens\n1\n", "line 2: 1 cells where the header has 2"),
        ('ContextTokens,GeneratedTokens\n1,"2\n', "line 2: unexpected end of data"),
        ("ContextTokens,GeneratedTokens\n1,999999999999999999\n", "more than the 1000000000000"),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Failure) as failure:
        read(tmp_path, text)
    assert said in str(failure.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="is not UTF-8 text"):
        rows_in(tmp_path, b"ContextTokens,GeneratedTokens\n1,\xff\n", RATES)


def test_rates_are_whole_credits_per_thousand() -> None:
    assert parse_rates(["A=1", "with=sign=4"]) == {"A": 1, "with=sign": 4}
    for wrong in ("A", "A=", "=1", "A=x", "A=-1", "A=0.5"):
        with pytest.raises(Failure, match="COLUMN=CREDITS"):
            parse_rates([wrong])
    with pytest.raises(Failure, match="has a rate already"):
        parse_rates(["A=1", "A=2"])

"""`etl-platform infer`: what it writes loads, the sample goes through it, and every doubt is a comment."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import re
import tempfile
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_platform.cli.infer import declaration_text
from etl_platform.cli.main import cli
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.declared.compiled import load_declaration
from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import FileRefusedError
from etl_platform.infer.sample import read_sample
from etl_platform.institutions.file_format import sender_format
from etl_platform.institutions.model import Institution
from etl_platform.transforms.silver import SilverPlan, SourceFile, build_silver

DATE = dt.date(2025, 1, 15)
CSV = """Visit ID;Kunde Nr.;Plz;Betrag;Am;Gesehen;US;flag;leer;Größe;Menge;business date
1001;00012;8001;1.234,50;03.04.2025;2025-01-15 10:00:00;03/04/2025;yes;;12,5;5;20250115
1002;00013;8002;N/A;30.04.2025;2025-01-15 10:01:00;04/04/2025;no;;1,5;17;20250116
1003;00013;8002;12,00;01.04.2025;2025-01-15 10:01:00;05/04/2025;no;;1,5;7;20250116
"""


NINE = dt.datetime(2025, 1, 15, 9)  # noqa: DTZ001 - as files without zone hold it


def run(file: Path, *options: str) -> str:
    done = CliRunner().invoke(cli, ["infer", str(file), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def sample(folder: Path, name: str, body: bytes) -> Path:
    path = folder / name
    path.write_bytes(body)
    return path


def through(file: Path, text: str, folder: Path) -> tuple[Contract, pl.DataFrame]:
    """The contract that `text` declares, and the silver rows of `file` read as the comment in it says."""
    declaration = folder / "inferred.yaml"
    declaration.write_text(text, encoding="utf-8")
    contract = load_declaration(declaration)
    snippet = re.search(r"#   (\S+: \{format.*)", text)
    assert snippet is not None
    institution = Institution.model_validate({"code": "x", "name": "X", "datasets": yaml.safe_load(snippet[1])})
    config = institution.datasets[contract.dataset]
    plan = SilverPlan(contract, PartitionKey(DATE, "x"), config.format, dt.datetime.now(dt.UTC), folder / "scratch")
    silver = build_silver([SourceFile("k", file, 1, sender_format(institution, contract.dataset, {}))], plan)
    assert silver.quarantine.collect().is_empty() and not silver.unexplained
    return contract, silver.silver.select([c.name for c in contract.columns]).collect()


def comments(text: str) -> dict[str, list[str]]:
    """Column -> its doubts."""
    found: dict[str, list[str]] = {}
    waiting: list[str] = []
    for line in text.splitlines():
        if line.startswith("  # unsure: "):
            waiting.append(line.removeprefix("  # unsure: "))
        elif line.startswith("  - "):
            found[yaml.safe_load(line)[0]["name"]], waiting = waiting, []
    return found


def test_a_csv_in_a_foreign_dialect_comes_back_value_for_value_with_every_doubt(tmp_path: Path) -> None:
    file = sample(tmp_path, "visits_2025-01-15.csv", CSV.encode())
    text = run(file)
    contract, rows = through(file, text, tmp_path)
    assert contract.dataset == "visits" and contract.key == ("visit_id",) and contract.event_time == "gesehen"
    assert rows.row(0) == (
        "1001", "00012", 8001, Decimal("1234.50"), dt.date(2025, 4, 3), dt.datetime(2025, 1, 15, 10, tzinfo=dt.UTC),
        dt.date(2025, 4, 3), True, None, Decimal("12.50"), 5, dt.date(2025, 1, 15),
    )  # fmt: skip
    assert rows["betrag"].to_list()[1:] == [None, Decimal("12.00")]
    doubts = comments(text)
    for column, doubt in {
        "visit_id": "look like codes",
        "kunde_nr": "leading zeros",
        "plz": "may be a code",
        "betrag": "headroom",
        "us": r"%d/%m/%Y is a guess, not %m/%d/%Y",
        "leer": "no value in the sample",
        "sent_business_date": "eight digits",
        "gesehen": "time_zone decides",
    }.items():
        assert any(doubt in said for said in doubts[column]), (column, doubts[column])
    assert doubts["am"] == doubts["flag"] == doubts["menge"] == []
    assert "# unsure: unique in 3 rows of the sample; so is" in text


def test_json_lines_compressed_keep_exact_numbers(tmp_path: Path) -> None:
    lines = '{"id": "a", "price": 0.1, "n": 1, "e": 1e3}\n{"id": "b", "price": 12.345, "n": null, "e": 2e3}\n'
    file = sample(tmp_path, "quotes.jsonl.gz", gzip.compress(lines.encode()))
    contract, rows = through(file, run(file, "--name", "quotes_of_b"), tmp_path)
    assert contract.dataset == "quotes_of_b"
    assert rows.rows() == [("a", Decimal("0.1"), 1, 1000.0), ("b", Decimal("12.345"), None, 2000.0)]


def test_parquet_keeps_its_types_and_leaves_out_what_no_column_holds(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "id": [1, 2], "price": [Decimal("1.5"), Decimal("2.25")], "ratio": [0.5, 0.25], "on": [DATE, DATE],
            "at": [NINE, NINE], "ok": [True, False], "tags": [["a"], []],
        }
    )  # fmt: skip
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    file = sample(tmp_path, "trades.parquet", buffer.getvalue())
    text = run(file)
    contract, rows = through(file, text, tmp_path)
    types = {c.name: c.type for c in contract.declaration.columns} if contract.declaration else {}
    assert types == {
        "id": "integer", "price": "decimal(38,2)", "ratio": "float", "on": "date", "at": "timestamp", "ok": "boolean",
    }  # fmt: skip
    assert rows["at"][0] == dt.datetime(2025, 1, 15, 9, tzinfo=dt.UTC)
    assert (
        "column tags is left out: a column of type List(String)" in text
        and "binary floats" in text
        and "without time zone" in text
    )


def test_thousands_marks_pairs_as_key_other_encodings_and_ragged_lines_are_seen(tmp_path: Path) -> None:
    body = 'Straße,day,total\nx,2025-01-01,"1,234.5"\nx,2025-01-02,"2,000"\ny,2025-01-01,1\ny,2025-01-01\n'
    file = sample(tmp_path, "totals.csv", body.encode("cp1252"))
    text = run(file)
    assert "thousands: ','" in text and "encoding: cp1252" in text and "1 records of the sample" in text
    assert "key: [strasse, day]" in text and "source: Straße" in text


def test_columns_that_only_the_institution_can_tell_apart_are_mapped_and_the_sample_goes_through(
    tmp_path: Path,
) -> None:
    file = sample(tmp_path, "a b.csv", "Konto-Nr,Konto Nr,,😀,a_b\n007,x,1,2,3\n008,y,2,3,4\n".encode())
    text = run(file)
    contract, rows = through(file, text, tmp_path)
    assert rows.rows() == [("007", "x", 1, 2, 3), ("008", "y", 2, 3, 4)]
    assert [c.name for c in contract.columns] == ["konto_nr", "konto_nr_2", "column_3", "column_4", "a_b"]
    doubts = comments(text)
    assert all("but for case and special characters" in doubts[name][0] for name in ("konto_nr", "konto_nr_2"))
    assert all("no letter or digit" in doubts[name][0] for name in ("column_3", "column_4"))


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        (["12", "abc"], "1 of 2 values look like numbers, 'abc' does not"),
        (["1", "2", "TOTAL"], "'TOTAL' does not: kept as text; it is the last row: a trailer line?"),
        (["01/02/25", "03/04/25"], "looks like dates that no one format reads, e.g. '01/02/25'"),
        (["2025-01-01", "01.02.2025"], "looks like dates that no one format reads"),
        (["13/13/2025", "01/01/2025"], "looks like dates that no one format reads"),
        (["1'234.50", "5'678.00"], "looks like numbers that no one format reads"),
        (["12%", "5%"], "looks like numbers that no one format reads"),
        (["1e400", "1e5"], "looks like numbers that no one format reads"),
        (["1.5", "1" * 37 + "." + "3" * 30], "37 digits before and 30 after the decimal mark are too many"),
        (["1234567890123456789", "12345678901234567890"], "more digits than an integer has"),
        (["1,234", "5,678"], ", is taken as thousands mark, not as decimal mark"),
        (["1.234", "5.678"], ". is taken as decimal mark, not as thousands mark"),
        (["12.0", "13.0"], "may be an integer"),
        (["Y", "N"], "may be a boolean"),
        (["no", "no"], "always no: may be a code"),
        (["AAPL", "NA"], "'NA' may say \"no value\""),
        (['{"a": 1}', '{"a": 2}'], "nested values"),
    ],
)
def test_what_is_kept_as_text_or_could_be_read_otherwise_says_why(
    tmp_path: Path, values: list[str], doubt: str
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([["key", "v"], *([f"k{n}", value] for n, value in enumerate(values))])
    file = sample(tmp_path, "x.csv", buffer.getvalue().encode())
    text = run(file)
    assert any(doubt in said for said in comments(text)["v"]), text
    assert through(file, text, tmp_path)[1].height == len(values)


def test_a_word_is_no_value_beside_numbers_and_may_be_a_ticker_beside_text(tmp_path: Path) -> None:
    file = sample(tmp_path, "x.csv", b'key,v,ticker,name\na,NA,NA,x\nb,5,AAPL,N/A\nc,"",MSFT,y\n')
    text = run(file)
    _, rows = through(file, text, tmp_path)
    assert rows.rows() == [("a", None, None, "x"), ("b", 5, "AAPL", "N/A"), ("c", None, "MSFT", "y")]
    assert "null_texts: ['', NA]" in text
    assert any("it may be one: NA is a ticker" in said for said in comments(text)["ticker"])
    assert any("'N/A' may say" in said for said in comments(text)["name"])


def test_comment_lines_records_under_a_path_foreign_letters_and_a_missing_header_are_seen(tmp_path: Path) -> None:
    file = sample(tmp_path, "c.csv", b"# made by x\n# on y\nkey;v\na;1\nb;2\n")
    text = run(file)
    assert through(file, text, tmp_path)[1].rows() == [("a", 1), ("b", 2)]
    assert "# unsure: lines that begin with # are read as comments" in text
    header = run(sample(tmp_path, "h.csv", b"#key;v\na;1\n"))
    assert "comment" not in header.split("columns:")[0].replace("`unsure` comment", "")
    file = sample(tmp_path, "r.json", b'{"n": 2, "data": {"rows": [{"key": "a", "v": 2.50}, {"key": "b", "v": 3}]}}')
    text = run(file)
    assert through(file, text, tmp_path)[1].rows() == [("a", Decimal("2.5")), ("b", Decimal("3"))]
    assert "# unsure: the records are read at 'data.rows'" in text
    assert "cp1252 is a guess" in run(sample(tmp_path, "l.csv", "key\nMüller\n".encode("latin-1")))
    assert "the header looks like values ('1')" in run(sample(tmp_path, "n.csv", b"1,2025-01-01,AAA\n"))


def test_parquet_values_that_no_declared_type_holds_are_said(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "big": pl.Series([2**63, 1], dtype=pl.UInt64), "f": [1.5, float("nan")], "took": [dt.timedelta(1)] * 2,
            "raw": [b"x", b"y"], "at": [dt.time(1), dt.time(2)],
        }
    )  # fmt: skip
    frame.write_parquet(tmp_path / "t.parquet")
    text = run(tmp_path / "t.parquet")
    doubts = comments(text)
    assert "larger than an integer holds" in doubts["big"][0] and "1 values are NaN" in doubts["f"][1]
    assert "column took is left out" in text and "a column of type Time" in doubts["at"][0]
    frame.head(1).write_parquet(tmp_path / "one.parquet")
    assert through(tmp_path / "one.parquet", text, tmp_path)[1].row(0) == (str(2**63), 1.5, "x", "01:00:00")


@pytest.mark.parametrize(
    ("name", "becomes"), [("prices_2025-01-15.csv", "prices_2"), ("no.csv", "no"), ("x" * 90, "x" * 50)]
)
def test_the_name_of_a_file_becomes_a_name_that_loads(tmp_path: Path, name: str, becomes: str) -> None:
    file = sample(tmp_path, name, b"key\na\n")
    text = run(file)
    assert through(file, text, tmp_path)[0].dataset == becomes
    assert ("# unsure: prices is built in" in text) == name.startswith("prices")


def test_a_chosen_name_that_cannot_be_is_refused(tmp_path: Path) -> None:
    file = sample(tmp_path, "x.csv", b"key\na\n")
    for name, message in (("My Data", "expected lower-case letters"), ("prices", "expected a name of its own")):
        done = CliRunner().invoke(cli, ["infer", str(file), "--name", name])
        assert done.exit_code == 2 and message in done.output


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("x.csv", b"a,a,b\n1,2,3\n", "several columns named 'a'"),
        ("x.json", b"[]", "no column; expected at least one record"),
        ("x.csv", b"", "0 bytes"),
    ],
)
def test_what_is_wrong_with_a_sample_is_said_and_not_that_it_is_in_no_other_encoding(
    tmp_path: Path, name: str, body: bytes, message: str
) -> None:
    done = CliRunner().invoke(cli, ["infer", str(sample(tmp_path, name, body))])
    assert done.exit_code != 0 and message in str(done.exception)


CELL = st.one_of(
    st.sampled_from(
        ["", " ", "NA", "null", "0", "-1", "007", "1.5", "1,5", "1.234,50", "1e5", "1e999", "yes", "no", "t"]
    ),
    st.sampled_from(["2025-01-15", "15.01.2025", "01/02/2025", "20250115", "2025-01-15T10:00:00Z", "31.12.2024 08:15"]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_sample_holds_its_declaration_loads_and_reads_every_row(
    tmp_path: Path, data: st.DataObject
) -> None:
    names = data.draw(st.lists(CELL, min_size=2, max_size=4, unique_by=lambda name: name.strip().casefold()))
    cells = st.lists(CELL, min_size=len(names), max_size=len(names))
    rows = data.draw(st.lists(cells, min_size=1, max_size=4))
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([names, *rows])
    file = sample(tmp_path, "any.csv", buffer.getvalue().encode())
    try:
        sent = read_sample(file)
    except FileRefusedError:
        return
    text = declaration_text(file, "any")
    _, silver = through(file, text, Path(tempfile.mkdtemp(dir=tmp_path)))
    assert silver.height == sent.rows.height, "what is proposed loses no row of the sample"
    # What is said of the default is what the default does.
    _, silver = through(file, text.replace("deduplicate: occurrence", ""), Path(tempfile.mkdtemp(dir=tmp_path)))
    said = re.search(r"no identifier: (\d+) of", text)
    assert sent.rows.height - silver.height == (int(said[1]) if said else 0)


TWINS = "symbol,shares,at\n" + "A,100,2025-01-15\n" * 3 + "B,5,2025-01-15\nA,+100,2025-01-15\nB,5,2025-01-16\n"


def test_equal_lines_without_an_identifier_are_kept_and_said_with_their_lines(tmp_path: Path) -> None:
    file = sample(tmp_path, "trades.csv", TWINS.encode())
    text = run(file)
    contract, rows = through(file, text, tmp_path)
    assert contract.key == () and contract.by_occurrence and rows.height == 6
    assert "# unsure: no identifier: 3 of 6 rows equal an earlier one (lines 3, 4, 6) and would be lost" in text
    assert "ask the sender for an identifier" in text and "`deduplicate: off` would keep" in text
    assert "but for these rows symbol + at is unique; if it identifies a row they are mere repeats" in text


@pytest.mark.parametrize(
    ("name", "body", "where"),
    [
        ("t.jsonl", '{"a": 1}\n{"a": 2}\n{"a": 1}\n', "(record 3)"),
        ("t.csv", "a,b\n" + "x,1\n" * 8, "7 of 8 rows equal an earlier one (lines 3, 4, 5, 6, 7, ...)"),
    ],
)
def test_the_first_of_many_repeats_are_named_as_the_file_counts_them(
    tmp_path: Path, name: str, body: str, where: str
) -> None:
    text = run(sample(tmp_path, name, body.encode()))
    assert where in text and yaml.safe_load(text)["deduplicate"] == "occurrence"
    assert ("but for these rows" in text) == (name == "t.jsonl"), "of one row every column is unique"


def test_a_sample_whose_rows_all_differ_is_told_nothing_of_repeats(tmp_path: Path) -> None:
    for body in ("id,a\n1,x\n2,x\n", "a,b,c\nx,1,u\nx,2,u\ny,1,u\nx,1,v\n"):
        text = run(sample(tmp_path, "t.csv", body.encode()))
        assert "deduplicate" not in text and "no identifier" not in text


def test_what_differs_as_text_and_not_as_it_is_read_is_no_key(tmp_path: Path) -> None:
    file = sample(tmp_path, "t.csv", b"n,seen,v\n5,2025-01-15T10:00:00Z,a\n+5,2025-01-15T11:00:00+01:00,b\n")
    contract, rows = through(file, run(file), tmp_path)
    assert contract.key == ("v",) and rows.height == 2
    file = sample(tmp_path, "u.csv", b"n,seen\n5,2025-01-15T10:00:00Z\n+5,2025-01-15T11:00:00+01:00\n")
    text = run(file)
    assert "1 of 2 rows equal an earlier one (line 3)" in text and through(file, text, tmp_path)[1].height == 2


def test_rows_that_would_go_to_quarantine_repeat_nothing(tmp_path: Path) -> None:
    frame = pl.DataFrame({"f": [float("nan")] * 3 + [1.5] * 2, "g": ["x"] * 5})
    frame.write_parquet(tmp_path / "t.parquet")
    assert "no identifier: 1 of 5 rows equal an earlier one (record 5)" in run(tmp_path / "t.parquet")


def test_columns_far_to_the_right_tell_rows_apart(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(130)]
    rows = [["1"] * 129 + [last] for last in ("x", "y", "x")] + [["2"] + ["1"] * 128 + ["x"]]
    body = "\n".join(",".join(row) for row in [names, *rows])
    assert "1 of 4 rows equal an earlier one (line 4)" in run(sample(tmp_path, "w.csv", f"{body}\n".encode()))


def test_an_identifier_that_cannot_be_seen_whole_is_no_key_and_a_doubt(tmp_path: Path) -> None:
    body = "order_id,code,ref\nA1,x,k\nA1\u200b,x ,l\nA2\u00a0,y,m\n"
    text = declaration_text(sample(tmp_path, "orders.csv", body.encode()), "orders_seen")
    assert "\nkey: [ref]\n" in text
    doubt = "2 values hold characters that cannot be seen, or blanks at their ends: their rows go to quarantine"
    assert {name: doubt in said for name, said in comments(text).items()} == {
        "order_id": True, "code": False, "ref": False,
    }  # fmt: skip


def test_a_file_that_nobody_can_read_is_one_clear_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["infer", str(sample(tmp_path, "x.pdf", b"%PDF-1.7 "))])
    assert done.exit_code != 0
    assert "pdf" in str(done.exception)


@pytest.mark.parametrize("dataset", ["orders", "employees"])
def test_show_and_list_know_declared_datasets(dataset: str) -> None:
    assert f"{dataset}: " in CliRunner().invoke(cli, ["contract", "list"]).output
    page = CliRunner().invoke(cli, ["contract", "show", dataset]).output
    assert "write mode: replace" in page
    ddl = CliRunner().invoke(cli, ["contract", "show", dataset, "--sql", "snowflake"]).output
    assert ddl.startswith("CREATE TABLE IF NOT EXISTS")

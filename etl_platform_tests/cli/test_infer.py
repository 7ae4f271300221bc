"""`etl-platform infer`: what it writes loads, the sample goes through it, and every doubt is a comment."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import re
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import CliRunner

from etl_platform.cli.main import cli
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.declared import load_declaration
from etl_platform.contracts.table import PartitionKey
from etl_platform.institutions.model import Institution
from etl_platform.institutions.sender import sender_format
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
    assert "column tags is left out" in text and "binary floats" in text and "without time zone" in text


def test_thousands_marks_pairs_as_key_other_encodings_and_ragged_lines_are_seen(tmp_path: Path) -> None:
    body = 'Straße,day,total\nx,2025-01-01,"1,234.5"\nx,2025-01-02,"2,000"\ny,2025-01-01,1\ny,2025-01-01\n'
    file = sample(tmp_path, "totals.csv", body.encode("cp1252"))
    text = run(file)
    assert "thousands: ','" in text and "encoding: cp1252" in text and "1 records of the sample" in text
    assert "key: [strasse, day]" in text and "source: Straße" in text


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

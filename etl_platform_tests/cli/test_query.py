"""`etl-platform query` as its user meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etl_platform.cli.main import main
from etl_platform_tests.query.test_published import deliver
from etl_platform_tests.support.platform import Platform, dagster_instance, plain

__all__ = ["dagster_instance", "plain"]

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def etl(plain: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command over a platform to which `first` has delivered three bars."""
    deliver(plain, "first", 3)
    assert plain.ingest("first").succeeded
    monkeypatch.setenv("ETL_HOME", str(plain.settings.root))
    monkeypatch.setenv("ETL_INSTITUTIONS_PATH", str(plain.settings.institutions_folder))
    capsys.readouterr()

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["etl-platform", "query", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return run


def test_a_table_of_few_columns_is_shown_row_beside_row(etl: Shell) -> None:
    status, out, err = etl("SELECT symbol, close, NULL AS nothing FROM first.prices ORDER BY symbol")
    assert status == 0 and err == "3 rows\n"
    assert [line.split() for line in out.splitlines() if "FI" in line] == [
        ["│", f"FI{letter}", "│", "10.00000000", "│", "null", "│"] for letter in "ABC"
    ]


def test_no_line_is_longer_than_a_terminal_and_nothing_is_cut(etl: Shell) -> None:
    status, out, err = etl("FROM first.prices", "--limit", "2")
    assert status == 0 and err == "the first 2 rows, there are more: --limit\n"
    assert max(map(len, out.splitlines())) <= 80
    for text in ("_processed_at", "2025-01-15T10:00:00+00:00", "first/prices/2025-01-15/a.csv"):
        assert text in out
    long = "x" * 500
    _, out, _ = etl(f"SELECT '{long}' AS \"{'n' * 100}\"")
    assert max(map(len, out.splitlines())) <= 80 and out.count("x") == 500 and out.count("n") == 100


def test_json_loses_nothing(etl: Shell) -> None:
    sql = """
        SELECT 1::DECIMAL(38,8) AS a, NULL AS a, [DATE '2025-01-15'] AS dates, 'nan'::DOUBLE AS f, true AS b,
        TIMESTAMPTZ '2025-01-15 10:00:00Z' AS at, 9007199254740993 AS big, {'x': 1.5} AS s FROM range(3)
    """
    status, out, err = etl(sql, "--json", "--limit", "1")
    found: dict[str, Any] = json.loads(out)
    assert (status, err) == (0, "") and found["has_more"] is True
    row = ["1.00000000", None, ["2025-01-15"], "nan", True, "2025-01-15T10:00:00+00:00", 9007199254740993, {"x": "1.5"}]
    assert found["rows"] == [row]
    assert [column["name"] for column in found["columns"][:3]] == ["a", "a", "dates"]
    assert found["columns"][0]["type"] == "decimal128(38, 8)"


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT * FROM first.pricse", 'Did you mean "prices"?'),
        ("selec 1", "syntax error"),
        ("DELETE FROM first.prices", "DELETE; expected one statement that reads"),
        ("SELECT * FROM read_text('/etc/hostname')", "file system operations are disabled"),
    ],
)
def test_wrong_sql_is_told_with_the_next_step(etl: Shell, sql: str, told: str) -> None:
    status, out, err = etl(sql)
    assert (status, out) == (2, "") and err.startswith("error: query: ") and told in err
    assert len(err.splitlines()) == 1 and "expected" in err and "next step:" in err and "Traceback" not in err


def test_no_control_character_of_a_sender_reaches_the_terminal(etl: Shell) -> None:
    for sql in ("SELECT chr(27) || '[31m' AS a", "SELECT chr(27) || '[31m' AS a, repeat('x', 100) AS b"):
        status, out, _ = etl(sql)
        assert status == 0 and "\x1b" not in out and "\\x1b[31m" in out


def test_help_names_the_schemas(etl: Shell) -> None:
    status, out, _ = etl("--help")
    assert status == 0 and "<institution>.<table>" in out and "stored.<table>" in out and "shared.<table>" in out


def test_it_starts_without_the_warehouse(etl: Shell, plain: Platform) -> None:
    plain.settings.duckdb_file.unlink()
    assert etl("SELECT count(*) AS n FROM first.prices", "--json")[0] == 0
    assert not Path(plain.settings.duckdb_file).exists()

"""The way of a row: whatever comes, every row read is in silver, in quarantine or a counted duplicate."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.declared.compiled import compile_declaration
from etl_platform.contracts.declared.declaration import Declaration
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import FileRefusedError
from etl_platform.readers import read_file
from etl_platform.readers.batch import Batch
from etl_platform.readers.options import CsvOptions, FormatOptions, JsonOptions, ParquetOptions
from etl_platform.transforms import silver as silver_module
from etl_platform.transforms.casts import Dialect
from etl_platform.transforms.normalise import SenderFormat
from etl_platform.transforms.silver import FileCounts, Silver, SilverPlan, SourceFile, build_silver

PRICES = BUILT_IN["prices"]
HEADER = "symbol,timestamp,open,high,low,close,volume"
DAY = dt.date(2025, 1, 15)
PROCESSED = dt.datetime(2025, 1, 16, 2, tzinfo=dt.UTC)


def bar(symbol: str = "AAPL", minute: int = 0, close: str = "1.5", volume: str = "10") -> str:
    return f"{symbol},2025-01-15T14:{minute:02}:00Z,1,2,0.5,{close},{volume}"


def csv(*lines: str) -> bytes:
    return "\n".join((HEADER, *lines, "")).encode()


def build(
    folder: Path,
    *contents: bytes,
    options: FormatOptions | None = None,
    sender: SenderFormat | None = None,
    batch_rows: int = 100_000,
    budget: int = 2**29,
    contract: Contract = PRICES,
) -> Silver:
    folder.mkdir(exist_ok=True)
    files = []
    for delivery, content in enumerate(contents, 1):
        path = folder / f"copy-{delivery}"
        path.write_bytes(content)
        files.append(SourceFile(f"acme/prices/file-{delivery}", path, delivery, sender or SenderFormat()))
    plan = SilverPlan(
        contract=contract, partition=PartitionKey(DAY, "acme"), options=options or CsvOptions(), processed_at=PROCESSED,
        scratch=folder / "scratch", batch_rows=batch_rows, budget=budget,
    )  # fmt: skip
    result = build_silver(list(reversed(files)), plan)
    require_account(result, contract)
    return result


def require_account(result: Silver, contract: Contract = PRICES) -> None:
    """Conservation, on the stored rows and not on the counters."""
    good, bad = result.silver.collect(), result.quarantine.collect()
    assert good.schema == contract.silver.polars_schema
    assert bad.schema == quarantine_table(contract.dataset).polars_schema
    refused = bad.filter(pl.col("kind") == "file")
    assert result.rows_read == good.height + (bad.height - refused.height) + result.rows_duplicate
    assert result.unexplained == 0 and refused.height == len(result.refused)
    for file in result.files:
        assert file.unexplained == 0
        assert file.silver == good.filter(pl.col("_source_file") == file.key).height
        of_file = bad.filter(pl.col("_source_file") == file.key)
        assert file.quarantined == of_file.filter(pl.col("kind") != "file").height
        if file.refusal is not None:
            assert (file.rows_read, file.silver, file.quarantined, file.duplicates) == (0, 0, 0, 0)
            assert of_file.select("kind", "_source_row", "raw").rows() == [("file", None, None)]
    assert result.rows_quarantined == sum(file.quarantined for file in result.files)


def counts(file: FileCounts) -> tuple[int, int, int, int]:
    return file.rows_read, file.silver, file.quarantined, file.duplicates


def test_rows_of_a_file_carry_where_they_came_from(tmp_path: Path) -> None:
    result = build(tmp_path, csv(bar(), bar(minute=1)))
    first = result.silver.collect().row(0, named=True)
    assert (first["_source_file"], first["_source_row"]) == ("acme/prices/file-1", 2)
    assert (first["business_date"], first["institution"], first["_processed_at"]) == (DAY, "acme", PROCESSED)
    assert [counts(file) for file in result.files] == [(2, 2, 0, 0)]
    assert not result.is_spilled and result.quarantined_share == 0


def test_no_files_are_no_rows(tmp_path: Path) -> None:
    result = build(tmp_path)
    assert (result.files, result.rows_read, result.quarantined_share) == ((), 0, 0.0)
    assert result.rules.is_empty() and result.rules.columns == ["rule", "rows"]


def test_a_header_alone_is_an_empty_delivery(tmp_path: Path) -> None:
    assert [counts(file) for file in build(tmp_path, csv()).files] == [(0, 0, 0, 0)]


def test_bad_rows_are_quarantined_with_line_raw_text_rules_and_what_was_found(tmp_path: Path) -> None:
    ragged = "AAPL,2025-01-15T14:09:00Z,1"
    content = csv(bar(), bar("apple", 1, "9", "-1"), ragged, bar("MSFT", close="x"), bar("MSFT", 2, volume=""))
    result = build(tmp_path, content)
    assert [counts(file) for file in result.files] == [(5, 1, 4, 0)]
    bad = result.quarantine.sort("_source_row").collect()
    assert bad.get_column("_source_row").to_list() == [3, 4, 5, 6]
    assert bad.get_column("rules").to_list() == [
        ["symbol_is_well_formed", "high_is_highest", "volume_is_not_negative"],
        *(["row_has_all_fields"], ["close_is_typed"], ["volume_is_present"]),
    ]  # fmt: skip
    assert bad.get_column("raw").to_list() == content.decode().splitlines()[2:]
    assert "(found 'apple')" in bad.item(0, "reason") and "(found 'x')" in bad.item(2, "reason")
    assert bad.item(0, "columns").to_list() == ["symbol", "high", "open", "low", "close", "volume"]
    assert result.rules.to_dicts()[0]["rows"] == 1 and result.rules.get_column("rows").sum() == 6
    assert result.quarantined_share == 0.8


def test_all_rows_bad_leave_silver_empty(tmp_path: Path) -> None:
    result = build(tmp_path, csv(*[bar("x", minute) for minute in range(5)]), batch_rows=2)
    assert [counts(file) for file in result.files] == [(5, 0, 5, 0)]
    assert result.rules.rows() == [("symbol_is_well_formed", 5)]


def test_repeats_corrections_and_files_that_come_twice_are_told_apart(tmp_path: Path) -> None:
    first = csv(bar(), bar(), bar("MSFT"))
    result = build(tmp_path, first, csv(bar("NEW"), bar(close="1.60")), first, batch_rows=1)
    # The third delivery repeats the values of the first, so that these are the latest again.
    assert [counts(file) for file in result.files] == [(3, 2, 0, 1), (2, 1, 1, 0), (3, 0, 0, 3)]
    loser = result.quarantine.collect().row(0, named=True)
    assert (loser["kind"], loser["rules"]) == ("superseded", ["row_is_latest_of_its_key"])
    assert (loser["_source_row"], loser["raw"]) == (3, bar(close="1.60")), "the sender's line, not the typed values"
    assert loser["columns"] == ["symbol", "timestamp"]


TICKETS = compile_declaration(
    Declaration.model_validate(
        {
            "name": "tickets", "title": "Tickets", "key": ["id"],
            "columns": [
                {"name": "id", "type": "string", "description": "Id."},
                {"name": "ticket", "type": "decimal(10,4)", "description": "Number.", "unique": True},
                {"name": "price", "type": "decimal(10,4)", "description": "Price."},
            ],
        }
    ),
    "tickets",
)  # fmt: skip


SIGNED = compile_declaration(
    Declaration.model_validate(
        {
            "name": "signed", "title": "Amounts as text", "key": ["id"],
            "columns": [
                {"name": "id", "type": "string", "description": "Id."},
                {"name": "text", "type": "string", "description": "Amount."},
            ],
            "derived": [
                {
                    "name": "amount", "type": "decimal(18,2)", "description": "Amount.",
                    "expression": "TRY_CAST(REPLACE(text, ',', '') AS DECIMAL(18,2))",
                },
                {
                    "name": "cube", "type": "decimal(38,0)", "description": "Cube.", "required": False,
                    "expression": "LENGTH(text) * 1000000000000 * 1000000000000 * 1000000000000 * LENGTH(text)",
                },
            ],
        }
    ),
    "signed",
)  # fmt: skip


def test_a_derived_amount_is_exact_or_its_row_is_quarantined(tmp_path: Path) -> None:
    lines = ["id,text", 'a,"1,234.567"', "b,0.005", "c,-0.005", "d,12.50", "e,abc", "f,000000012.5"]
    result = build(tmp_path, "\n".join(lines).encode(), contract=SIGNED)
    assert [str(amount) for amount in result.silver.collect()["amount"]] == ["12.50"]
    bad = {row["raw"]: row["rules"] for row in result.quarantine.collect().to_dicts()}
    lost = ["amount_is_typed"]
    assert bad == {lines[1]: lost, lines[2]: lost, lines[3]: lost, lines[5]: lost, lines[6]: ["cube_is_typed"]}
    reasons = result.quarantine.collect()["reason"].to_list()
    assert "(found '1,234.567')" in reasons[0] and "(found '0.005')" in reasons[1]


@pytest.mark.parametrize("batch_rows", [1, 100])
def test_the_raw_text_of_every_rule_is_the_senders_line(tmp_path: Path, batch_rows: int) -> None:
    """Also where only the whole partition shows that a row loses."""
    lines = ["id,ticket,price", "a,1.50, 2", "b,2,x", 'c,"1.5",3', "a,1.50,2.000", "a,1.5,9,", "a,1.5,9"]
    result = build(tmp_path, "\n".join(lines).encode(), contract=TICKETS, batch_rows=batch_rows)
    found = {row["_source_row"]: (row["rules"], row["raw"]) for row in result.quarantine.collect().to_dicts()}
    assert found == {
        2: (["row_is_latest_of_its_key"], lines[1]),
        3: (["price_is_typed"], lines[2]),
        6: (["row_has_all_fields"], lines[5]),
        7: (["ticket_is_unique"], lines[6]),
    }

    records = [b'{"id": "a", "ticket": 1.50, "price": 2}', b'{"price": 3.0, "id":"a", "ticket": "1.5"}']
    result = build(tmp_path / "json", *records, contract=TICKETS, options=JsonOptions(), batch_rows=batch_rows)
    loser = result.quarantine.collect().row(0, named=True)
    assert (loser["_source_file"], loser["raw"]) == ("acme/prices/file-1", records[0].decode())


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "file_is_not_empty"), (b"symbol,open\nA,1\n", "file_has_required_columns"),
        (csv(bar()).replace(b"volume\n", b"volume,Close\n"), "columns_are_unambiguous"),
        (b"PAR1 no", "file_is_in_declared_format"), (gzip.compress(csv(bar()))[:-12], "file_is_complete"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_trusted_is_refused_whole_beside_a_good_one(
    tmp_path: Path, content: bytes, rule: str
) -> None:
    result = build(tmp_path, csv(bar()), content)
    assert [counts(file) for file in result.files] == [(1, 1, 0, 0), (0, 0, 0, 0)]
    (refused,) = result.refused
    assert refused.refusal is not None and refused.refusal.rule == rule
    bad = result.quarantine.collect().row(0, named=True)
    assert (bad["_source_file"], bad["rules"]) == ("acme/prices/file-2", [refused.refusal.rule])
    assert "acme prices 2025-01-15 file acme/prices/file-2" in bad["reason"]


@pytest.mark.parametrize("budget", [2**29, 1])
def test_a_file_refused_in_the_middle_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    def breaking(path: Path, **arguments: Any) -> Iterator[Batch]:
        for number, batch in enumerate(read_file(path, **arguments)):
            if path.name == "copy-2" and number == 2:
                raise FileRefusedError("file 2", rule="file_is_readable", found="damage")
            yield batch

    monkeypatch.setattr(silver_module, "read_file", breaking)
    lines = [bar("AAPL" if minute % 3 else "bad", minute) for minute in range(8)]
    result = build(tmp_path, csv(*lines[:4]), csv(*lines), csv(*lines[4:]), batch_rows=2, budget=budget)
    assert [counts(file) for file in result.files] == [(4, 2, 2, 0), (0, 0, 0, 0), (4, 3, 1, 0)]
    assert [file.key for file in result.refused] == ["acme/prices/file-2"]
    # Its rows are no rivals of the others either: nothing is a duplicate of what was dropped.
    assert result.rows_duplicate == 0


def json_rows(*rows: Mapping[str, Any]) -> bytes:
    full = dict(zip(HEADER.split(","), bar().split(","), strict=True))
    return "".join(json.dumps({**full, **row}) + "\n" for row in rows).encode()


def test_json_columns_that_come_later_are_used_and_reported(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"timestamp": f"2025-01-15T14:{n:02}:00Z"} for n in range(6)]
    rows[3] |= {"note": "late"}
    rows[5] |= {"later": 1}
    content = json_rows(*rows)
    # Blocks of a reader are megabytes: a long value puts the late columns into blocks of their own.
    padded = content.replace(b'"late"', b'"' + b"x" * 10_000_000 + b'"')
    for given_content in (content, padded):
        result = build(tmp_path, given_content, options=JsonOptions(layout="lines"), batch_rows=2)
        assert [counts(file) for file in result.files] == [(6, 6, 0, 0)]
        assert set(result.files[0].extra) == {"note", "later"} and result.files[0].missing == ()


def test_json_names_are_found_whatever_their_case_and_lacking_ones_refuse_the_file(tmp_path: Path) -> None:
    capitals = json_rows({}).replace(b'"symbol"', b'"Symbol"').replace(b'"close"', b'"CLOSE"')
    options = JsonOptions(layout="lines")
    assert [counts(file) for file in build(tmp_path, capitals, options=options).files] == [(1, 1, 0, 0)]
    lacking = json_rows({}, {"timestamp": "2025-01-15T14:01:00Z"}).replace(b'"close"', b'"final"')
    (refused,) = build(tmp_path, lacking, options=options).refused
    assert refused.refusal is not None and refused.refusal.rule == "file_has_required_columns"
    (rivals,) = build(tmp_path, json_rows({}) + capitals, options=options).refused
    assert rivals.refusal is not None and rivals.refusal.rule == "columns_are_unambiguous"
    # A key that single records lack is their fault alone.
    one = json_rows({}) + json_rows({"symbol": "MSFT"}).replace(b', "close": "1.5"', b"")
    assert [counts(file) for file in build(tmp_path, one, options=options).files] == [(2, 1, 1, 0)]
    assert [counts(file) for file in build(tmp_path, b"[]", options=JsonOptions()).files] == [(0, 0, 0, 0)]
    assert [counts(file) for file in build(tmp_path, b"{}\n", options=options).files] == [(1, 0, 1, 0)]


def test_parquet_rows_are_quarantined_as_json_whatever_their_types(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "symbol": ["AAPL", "MSFT"],
            "timestamp": pl.Series([1_736_951_400_000, 2**62]).cast(pl.Datetime("ms", "UTC")),
            "open": [1.0, 1.0], "high": [2.0, 2.0], "low": [0.5, 0.5], "close": [1.5, 1.5], "volume": [10, 10],
            "note": [[b"\xff"], None],
        }
    )  # fmt: skip
    frame.write_parquet(tmp_path / "frame.parquet")
    result = build(tmp_path, (tmp_path / "frame.parquet").read_bytes(), options=ParquetOptions())
    assert [counts(file) for file in result.files] == [(2, 1, 1, 0)]
    bad = result.quarantine.collect().row(0, named=True)
    assert bad["rules"] == ["timestamp_is_typed"] and json.loads(bad["raw"])["symbol"] == "MSFT"


def test_supplied_columns_and_sender_names_reach_silver(tmp_path: Path) -> None:
    content = b"Zeit;Kurs;open;high;low;volume\n2025-01-15T14:00:00Z;1,5;1;2;0,5;1.000\n"
    sender = SenderFormat(
        dialect=Dialect(",", "."), columns={"Zeit": "timestamp", "Kurs": "close"}, supplied={"symbol": "AAPL"}
    )
    row = build(tmp_path, content, options=CsvOptions(delimiter=";"), sender=sender).silver.collect().row(0, named=True)
    assert (row["symbol"], row["volume"], str(row["close"])) == ("AAPL", 1000, "1.50000000")


def comparable(result: Silver) -> tuple[Any, ...]:
    good = result.silver.sort("_source_file", "_source_row").collect().rows()
    bad = result.quarantine.sort("_source_file", "_source_row", "kind").collect().rows()
    return good, bad, [counts(file) for file in result.files], result.rules.rows()


LINE = st.one_of(
    st.builds(
        bar,
        st.sampled_from(["AAPL", "MSFT", "bad symbol"]),
        st.integers(0, 2),
        st.sampled_from(["1.5", "1.50", "1.6", "99", "x", ""]),
        st.sampled_from(["10", "10.0", "-1", "1e1"]),
    ),
    st.sampled_from(["", "a,b", '"unfinished', ",,,,,,", bar() + ",extra", "\u00e9" * 3]),
)


@settings(max_examples=60)
@given(st.lists(st.lists(LINE, max_size=8), max_size=3), st.integers(1, 4))
def test_every_row_of_any_files_is_accounted_for_and_spilling_changes_nothing(
    files: Sequence[Sequence[str]], batch_rows: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contents = [csv(*lines) for lines in files]
        whole = build(folder, *contents)
        # `build` holds the account of both.
        pieces = build(folder, *contents, batch_rows=batch_rows, budget=1)
        assert comparable(whole) == comparable(pieces)
        assert pieces.is_spilled or not pieces.rows_silver
        keys = whole.silver.select("symbol", "timestamp").collect()
        assert keys.is_unique().all()

"""Small files that pass the casts and rules together come out as each would alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_platform.contracts.table import PartitionKey
from etl_platform.readers.options import CsvOptions, FormatOptions, JsonOptions, ParquetOptions
from etl_platform.transforms import silver, together
from etl_platform.transforms.judge import Judged, JudgePlan, judge
from etl_platform.transforms.normalise import SenderFormat
from etl_platform.transforms.silver import Silver, SilverPlan, SourceFile, build_silver
from etl_platform_tests.unit.transforms.test_silver import DAY, PRICES, PROCESSED

NAMES = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
GOOD = ("AAPL", "2025-01-15T14:00:00Z", "1", "2", "0.5", "1.5", "10")
CELLS = st.sampled_from(
    ["", "n/a", "x", "1", "2.5", "-3", "2025-01-15", "2025-01-15T14:30:00Z", "AAPL", '5"', "\0", "é"]
)
MINUTES = st.integers(0, 9).map(lambda minute: f"2025-01-15T14:{minute:02}:00Z")


@st.composite
def rows(draw: st.DrawFn) -> tuple[str, ...]:
    row = list(GOOD)
    row[1] = draw(MINUTES)
    for place in draw(st.lists(st.integers(0, len(row) - 1), max_size=2)):
        row[place] = draw(CELLS)
    return tuple(row)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Names and rows of a file; some lack a column or have one more, or one under another name."""
    names, found = list(NAMES), [list(row) for row in draw(st.lists(rows(), max_size=4))]
    change = draw(st.sampled_from(["none"] * 6 + ["lacks", "more", "renamed"]))
    place = draw(st.integers(0, len(names) - 1))
    if change == "lacks":
        del names[place]
        for row in found:
            del row[place]
    elif change == "more":
        names.append("venue")
        for row in found:
            row.append(draw(CELLS))
    elif change == "renamed":
        names[place] = names[place].upper()
    return tuple(names), [tuple(row) for row in found]


def csv(names: Sequence[str], found: Sequence[Sequence[str]]) -> bytes:
    return "\n".join([",".join(names), *(",".join(row) for row in found), ""]).encode()


def ndjson(names: Sequence[str], found: Sequence[Sequence[str]]) -> bytes:
    return "\n".join([*(json.dumps(dict(zip(names, row, strict=True))) for row in found), ""]).encode()


def parquet(names: Sequence[str], found: Sequence[Sequence[str]], path: Path) -> None:
    columns: dict[str, Any] = {name: [row[place] for row in found] for place, name in enumerate(names)}
    pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)).write_parquet(path)


def build(
    folder: Path, files: Sequence[tuple[Path, SenderFormat]], options: FormatOptions, batch_rows: int = 100_000
) -> Silver:
    sources = [SourceFile(f"acme/{n}", path, n, sender) for n, (path, sender) in enumerate(files, 1)]
    plan = SilverPlan(
        contract=PRICES, partition=PartitionKey(DAY, "acme"), options=options, processed_at=PROCESSED,
        scratch=folder / "scratch", batch_rows=batch_rows, keeps_extra=True,
    )  # fmt: skip
    return build_silver(sources, plan)


def told(result: Silver) -> tuple[list[str], list[str], list[str]]:
    frames = result.silver.collect(), result.quarantine.collect()
    good, bad = ([repr(row) for row in frame.rows()] for frame in frames)
    return sorted(good), sorted(bad), [repr(file) for file in result.files]


@given(
    st.lists(st.tuples(tables(), st.sampled_from(["", "XNAS", "XLON"])), min_size=1, max_size=8),
    st.sampled_from(["csv", "json", "parquet"]),
    st.sampled_from([1, 2, 100_000]),
)
@settings(max_examples=60)
def test_what_passes_together_comes_out_as_it_would_alone(
    found: list[tuple[tuple[Sequence[str], Sequence[Sequence[str]]], str]], kind: str, batch_rows: int
) -> None:
    every: dict[str, FormatOptions] = {"csv": CsvOptions(), "json": JsonOptions(), "parquet": ParquetOptions()}
    options = every[kind]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        files = []
        for number, ((names, lines), symbol) in enumerate(found):
            path = Path(name) / str(number)
            if kind == "parquet":
                parquet(names, lines, path)
            else:
                path.write_bytes((csv if kind == "csv" else ndjson)(names, lines))
            supplied = {"symbol": symbol} if symbol else {}
            files.append((path, SenderFormat(supplied=supplied, null_texts=("n/a",))))
        shared = told(build(Path(name), files, options, batch_rows))
        patched.setattr(together, "TOGETHER_ROWS", 1)
        alone = told(build(Path(name), files, options, batch_rows))
        assert shared == alone


def test_thousands_of_small_files_pass_in_a_few_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for number in range(300):
        path = tmp_path / str(number)
        path.write_bytes(csv(NAMES, [GOOD]))
        files.append((path, SenderFormat(supplied={"symbol": f"S{chr(65 + number % 26)}"})))
    passed: list[int] = []
    together_of = together.Together.__init__

    def counted(self: together.Together, pieces: Sequence[together.Piece]) -> None:
        passed.append(len(pieces))
        together_of(self, pieces)

    monkeypatch.setattr(together.Together, "__init__", counted)
    result = build(tmp_path, files, CsvOptions())
    assert passed == [300] and result.rows_read == 300 and result.unexplained == 0


def test_what_waits_is_bounded_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of few rows may come with much text that is none: what `raw` keeps of it counts."""
    monkeypatch.setattr(together, "TOGETHER_BYTES", 100_000)
    path = tmp_path / "blank"
    path.write_bytes(csv(NAMES, [GOOD]) + b"\n" * 60_000)
    waited: list[int] = []
    add = together.Waiting.add

    def counted(self: together.Waiting, piece: together.Piece) -> None:
        add(self, piece)
        waited.append(len(self.pieces))

    monkeypatch.setattr(together.Waiting, "add", counted)
    build(tmp_path, [(path, SenderFormat())] * 6, CsvOptions())
    assert max(waited) == 2


def test_a_file_that_is_refused_while_its_rows_wait_takes_no_other_rows_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []

    def noted(batch: Sequence[together.Piece], plan: JudgePlan) -> Judged:
        judged.extend(piece.delivery for piece in batch if piece.height)
        return judge(batch, plan)

    monkeypatch.setattr(silver, "judge", noted)
    good = dict(zip(NAMES, GOOD, strict=True))
    lacking = {name: value for name, value in good.items() if name != "close"}  # known at the end of the file
    files = []
    for number, records in enumerate([[good], [lacking, {**lacking, "volume": "x"}], [{**good, "symbol": "C"}]]):
        path = tmp_path / str(number)
        path.write_text("".join(json.dumps(record) + "\n" for record in records) + "no json\n")
        files.append((path, SenderFormat()))
    result = build(tmp_path, files, JsonOptions(), batch_rows=1)
    assert [(f.rows_read, f.silver, f.quarantined, bool(f.refusal)) for f in result.files] == [
        (2, 1, 1, False), (0, 0, 0, True), (2, 1, 1, False),
    ]  # fmt: skip
    assert result.silver.collect().get_column("symbol").to_list() == ["AAPL", "C"]
    seen = result.files[1].schema
    assert judged == [1, 3]  # all rows of the other would be bad ones, each with its text
    assert seen is not None  # it is drift that explains the refusal
    assert [(c.name, c.type) for c in seen.columns if c.name in ("symbol", "close", "volume")] == [
        ("symbol", "text"), ("volume", "integer"),
    ]  # fmt: skip

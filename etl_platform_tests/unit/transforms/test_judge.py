"""Judging a batch is a pure function: of the batch and the plan alone, in any process, however a file is cut."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.table import PartitionKey
from etl_platform.readers import read_file
from etl_platform.readers.batch import QUOTES_ARE_CLOSED, SOURCE_ROW
from etl_platform.readers.options import CsvOptions, FormatOptions, JsonOptions, ParquetOptions
from etl_platform.transforms import observe
from etl_platform.transforms.judge import Judged, JudgePlan, judge, waiting_schemas
from etl_platform.transforms.normalise import SenderFormat, map_columns
from etl_platform.transforms.observe import Observation
from etl_platform.transforms.sender_schema import sender_schema
from etl_platform.transforms.together import Piece
from etl_platform_tests.support.datasets import declared
from etl_platform_tests.unit.transforms.test_silver import DAY, HEADER, PRICES, PROCESSED, bar
from etl_platform_tests.unit.transforms.test_together import GOOD, NAMES, csv, ndjson, parquet, tables

OPTIONS: Mapping[str, FormatOptions] = {"csv": CsvOptions(), "json": JsonOptions(), "parquet": ParquetOptions()}
VISITS = """
name: visits
title: Visits
columns:
  - {name: visit_id, type: string, description: Identifier., pattern: "[a-z0-9]+"}
  - {name: pages, type: integer, description: Pages seen., min: 0}
  - {name: price, type: "decimal(10,2)", description: Price., required: false, nulls: flag}
  - {name: at, type: timestamp, description: When.}
derived:
  - {name: total, type: "decimal(12,2)", description: All., expression: "pages * COALESCE(price, 1)"}
rules:
  - {name: pages_are_paid, sentence: Pages cost., expression: "pages * price > 5"}
key: [visit_id]
event_time: at
business_date_tolerance_hours: 2
"""
VISIT_LINES = ("visit_id,pages,price,at", "v1,3,2.5,2025-01-15T10:00:00Z", "v2,1,2,2025-01-15T10:00:00Z",
               "v3,99999999999,99999999,2025-01-15T10:00:00Z", "V4,x,,2025-01-15T10:00:00Z",
               "v5,2,,2025-01-15T10:00:00Z", "v6,7,7,2025-01-19T10:00:00Z")  # fmt: skip
CELLS = ("1", "x", "", "2025-01-15", "2025-01-15T14:00:00Z", "AAPL", "US0378331005", "-2.5", "open")


def plan_for(contract: Contract = PRICES, kind: str = "csv") -> JudgePlan:
    return JudgePlan(contract, PartitionKey(DAY, "acme"), PROCESSED, kind, keeps_extra=True)


def pieces_of(
    content: bytes | Path,
    kind: str = "csv",
    contract: Contract = PRICES,
    sender: SenderFormat | None = None,
    number: int = 1,
) -> list[Piece]:
    """The batches of one file, as the collector has them."""
    sender = sender or SenderFormat()
    with tempfile.TemporaryDirectory() as folder:
        path = content if isinstance(content, Path) else Path(folder) / "file"
        if isinstance(content, bytes):
            path.write_bytes(content)
        batches = list(read_file(path, subject="file", options=OPTIONS[kind]))
    return [
        Piece(f"acme/{number}", number, sender, map_columns(batch.columns.columns, contract, sender), batch)
        for batch in batches
    ]


def hold_equal(one: Judged, other: Judged) -> None:
    assert_frame_equal(one.good, other.good)
    assert_frame_equal(one.bad, other.bad)
    assert one.seen == other.seen


def mixed(contract: Contract) -> list[Piece]:
    """Rows of all kinds of values under the contract's names, and one that is too short."""
    names = [column.name for column in contract.sender_columns]
    rows = [[CELLS[(row + at) % len(CELLS)] for at in range(len(names))] for row in range(len(CELLS))]
    return pieces_of(csv(names, rows) + b"short\n", contract=contract)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_another_process_comes_to_the_same_verdicts_by_every_contract(
    elsewhere: ProcessPoolExecutor, tmp_path: Path
) -> None:
    visits = declared(tmp_path, VISITS).bind({"time_zone": "Europe/Zurich"})
    strict = PRICES.bind({"symbol_pattern": "^AAPL$"})
    lines = (HEADER, bar(), bar("MSFT", 1), bar(close="x"))
    cases = [(mixed(contract), contract) for contract in (*built_in_contracts().values(), visits)]
    cases += [(pieces_of("\n".join(VISIT_LINES).encode(), contract=visits), visits)]
    cases += [(pieces_of("\n".join(lines).encode(), contract=strict), strict)]
    for pieces, contract in cases:
        here = judge(pieces, plan_for(contract))
        assert contract.schema and contract.row_rules  # made by now, and not to be sent
        hold_equal(here, elsewhere.submit(judge, pieces, plan_for(contract)).result())
        assert here.bad.height
        assert (here.good.schema, here.bad.schema) == waiting_schemas(contract)
    assert here.good.get_column("symbol").to_list() == ["AAPL"]


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_another_process_comes_to_the_same_verdicts_on_every_format(
    elsewhere: ProcessPoolExecutor, tmp_path: Path, kind: str
) -> None:
    rows = [GOOD, ("AAPL", "x", "1", "2", "3", "4", "5"), ("n/a", *GOOD[1:])]
    sender = SenderFormat(null_texts=("n/a",))
    files: list[bytes | Path] = []
    if kind == "parquet":
        parquet(NAMES, rows, tmp_path / "file")
        files = [tmp_path / "file"] * 2
    else:
        files = [(csv if kind == "csv" else ndjson)(NAMES, rows), (csv if kind == "csv" else ndjson)(NAMES, rows[1:])]
    pieces = [p for n, file in enumerate(files, 1) for p in pieces_of(file, kind, sender=sender, number=n)]
    here = judge(pieces, plan_for(kind=kind))
    there = elsewhere.submit(judge, pieces, plan_for(kind=kind)).result()
    hold_equal(here, there)
    assert here.bad.height and here.good.height and set(here.seen) == {1, 2}


def test_a_contract_comes_back_with_its_rules() -> None:
    for contract in built_in_contracts().values():
        assert contract.schema
        back = pickle.loads(pickle.dumps(contract))
        assert back.rules == contract.rules
        assert [r.expression is None for r in back.rules] == [r.expression is None for r in contract.rules]
        assert list(back.schema.columns) == list(contract.schema.columns)
        assert (back.dataset, back.key, back.parameters) == (contract.dataset, contract.key, contract.parameters)


def cut(piece: Piece, places: Sequence[int]) -> list[Piece]:
    """The batch in parts that begin at `places`; a reject goes with the rows around it."""
    edges = [0, *sorted(places), piece.height]
    rows, rejects = piece.batch.source_rows, piece.batch.rejects
    begins = [0, *(rows[at] if at < piece.height else 2**62 for at in edges[1:-1]), 2**62]

    def part(number: int) -> Piece:
        start, stop = edges[number], edges[number + 1]
        line = pl.col(SOURCE_ROW)
        batch = replace(
            piece.batch,
            columns=piece.batch.columns[start:stop],
            source_rows=rows[start:stop],
            raw=partial(_raw_behind, piece.batch.raw, start),
            rejects=rejects.filter((line >= begins[number]) & (line < begins[number + 1])),
            bare={name: flags[start:stop] for name, flags in piece.batch.bare.items()},
        )
        return replace(piece, batch=batch)

    return [part(number) for number in range(len(edges) - 1)]


def _raw_behind(raw: Callable[[pl.Series], pl.Series], start: int, indices: pl.Series) -> pl.Series:
    return raw((indices + start).cast(pl.UInt32))


def added(observations: Sequence[Observation]) -> Observation:
    return sum(observations, Observation())


def rule_counts(bad: pl.DataFrame) -> dict[str, int]:
    return dict(bad.get_column("rules").explode().value_counts().iter_rows())


@given(tables(), st.sampled_from(["csv", "json", "parquet"]), st.data())
@settings(max_examples=80)
def test_a_batch_cut_anywhere_is_judged_and_seen_as_the_whole(
    table: tuple[tuple[str, ...], list[tuple[str, ...]]], kind: str, data: st.DataObject
) -> None:
    names, rows = table
    assume(rows or kind != "json")  # such a file is refused as empty
    rows = rows * data.draw(st.integers(1, 3))
    sender = SenderFormat(null_texts=("n/a",))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        # So that a few rows are more than what is looked at.
        patched.setattr(observe, "OBSERVED_ROWS", data.draw(st.integers(1, 6)))
        path = Path(folder) / "file"
        if kind == "parquet":
            parquet(names, rows, path)
        else:
            odd = [*rows, ('A"PL"', *("1" for _ in names[1:])), ("short",)] if kind == "csv" else rows
            path.write_bytes(csv(names, odd) if kind == "csv" else ndjson(names, rows) + b"no json\n")
        plan = plan_for(kind=kind)
        for piece in pieces_of(path, kind, sender=sender):
            whole = judge([piece], plan)
            places = data.draw(st.lists(st.integers(0, piece.height), max_size=3))
            parts = [judge([part], plan) for part in cut(piece, places)]
            assert_frame_equal(pl.concat([part.good for part in parts]), whole.good)
            bad = pl.concat([part.bad for part in parts])
            assert_frame_equal(bad.sort(SOURCE_ROW), whole.bad.sort(SOURCE_ROW))
            assert rule_counts(bad) == rule_counts(whole.bad)
            seen = [part.seen.get(1, Observation()) for part in parts]
            assert added(seen) == whole.seen[1]
            assert whole.seen[1].quarantined == whole.bad.height
            assert whole.good.height + whole.bad.height == piece.height + piece.batch.rejects.height
            schemas = [sender_schema(one, piece.mapped, PRICES, kind) for one in (added(seen), whole.seen[1])]
            assert schemas[0] == schemas[1]


SAMPLES = st.dictionaries(st.sampled_from("abc"), st.binary(max_size=5), max_size=3)
OBSERVATIONS = st.builds(
    Observation, st.integers(0, 9), SAMPLES, st.dictionaries(st.sampled_from("abc"), st.just(pl.Int64()), max_size=3)
)


@given(OBSERVATIONS, OBSERVATIONS, OBSERVATIONS)
def test_what_is_seen_adds_up_in_any_grouping(one: Observation, two: Observation, three: Observation) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(observe, "OBSERVED_ROWS", 6)
        assert (one + two) + three == one + (two + three)
        assert list(((one + two) + three).samples) == list((one + (two + three)).samples)
        assert Observation() + one == one == one + Observation()


def test_a_record_of_wrong_quotes_is_a_bad_row_of_its_batch() -> None:
    (piece,) = pieces_of("\n".join((HEADER, bar(), '"AAPL"x' + bar()[4:], bar(minute=2), "")).encode())
    for parts in ([piece], cut(piece, [1])):
        bad = pl.concat([judge([part], plan_for()).bad for part in parts])
        assert rule_counts(bad) == {QUOTES_ARE_CLOSED: 1}


def test_judging_changes_nothing_and_depends_on_nothing_before(elsewhere: ProcessPoolExecutor) -> None:
    sent = b'{"symbol": 1.0, "volume": "x"}\n{"symbol": "A", "more": 7}\nno json\n'
    pieces, plan = pieces_of(sent, "json"), plan_for(kind="json")
    copies = pickle.loads(pickle.dumps(pieces))
    first = judge(pieces, plan)
    judge(pieces_of("\n".join((HEADER, bar(), bar(close="x"))).encode()), plan_for())
    hold_equal(judge(pieces, plan), first)
    for piece, copy in zip(pieces, copies, strict=True):
        assert_frame_equal(piece.batch.columns, copy.batch.columns)
        assert_frame_equal(piece.batch.rejects, copy.batch.rejects)
        assert piece.batch.source_rows.equals(copy.batch.source_rows)
        bare, copied = ({n: flags.to_list() for n, flags in one.batch.bare.items()} for one in (piece, copy))
        assert bare == copied
        assert replace(piece, batch=copy.batch) == copy
    assert plan == plan_for(kind="json")
    assert elsewhere.submit(reached_for, pieces, plan).result() == []
    assert elsewhere.submit(reached_for, pieces, plan, Path(__file__)).result() == ["open"]


def reached_for(pieces: list[Piece], plan: JudgePlan, read: Path | None = None) -> list[str]:
    """What Python is told that the second `judge` of a process does outside it; `read` shows that it would be told."""
    judge(pieces, plan)  # imports at the first use are not meant
    found: list[str] = []
    outside = {"open", "os.mkdir", "os.remove", "os.rename", "socket.connect", "subprocess.Popen", "os.fork"}
    listening = True

    def hear(event: str, arguments: object) -> None:
        if listening and event in outside:
            found.append(event)

    sys.addaudithook(hear)
    judge(pieces, plan)
    if read:
        read.read_bytes()
    listening = False
    return found


def test_the_moment_of_processing_comes_with_the_plan() -> None:
    at = dt.datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=dt.UTC)
    judged = judge(pieces_of("\n".join((HEADER, bar(), bar(close="x"))).encode()), replace(plan_for(), processed_at=at))
    assert [frame.get_column("_processed_at").to_list() for frame in (judged.good, judged.bad)] == [[at], [at]]

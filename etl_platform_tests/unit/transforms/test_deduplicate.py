"""Deduplication: one row per key, the latest delivery wins, and every other row is accounted for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.transforms.deduplicate import deduplicate
from etl_platform.transforms.frame_spool import FrameSpool

SCHEMA = pl.Schema({"_delivery": pl.Int64(), "_source_row": pl.Int64(), "k": pl.String(), "_row_hash": pl.Int64()})
Row = tuple[int, int, str | None, int]


def split(rows: list[Row], key: tuple[str, ...] = ("k",)) -> tuple[list[Row], list[Row], list[int]]:
    """Kept and superseded rows, and the deliveries of duplicates."""
    result = deduplicate(pl.LazyFrame(rows, schema=SCHEMA, orient="row"), key)
    assert result.kept.collect_schema() == SCHEMA == result.superseded.schema
    return result.kept.collect().rows(), result.superseded.rows(), sorted(result.duplicates.get_column("_delivery"))


CASES: dict[str, tuple[list[Row], list[Row], list[Row], list[int]]] = {
    "nothing": ([], [], [], []),
    "all different": ([(1, 1, "a", 1), (1, 2, "b", 1)], [(1, 1, "a", 1), (1, 2, "b", 1)], [], []),
    "an exact repeat": ([(1, 1, "a", 1), (1, 2, "a", 1)], [(1, 1, "a", 1)], [], [1]),
    "a repeated file": (
        [(1, 1, "a", 1), (1, 2, "b", 2), (2, 1, "a", 1), (2, 2, "b", 2)], [(1, 1, "a", 1), (1, 2, "b", 2)], [], [2, 2],
    ),
    "a correction": ([(1, 1, "a", 1), (2, 1, "a", 2)], [(2, 1, "a", 2)], [(1, 1, "a", 1)], []),
    "a later line of one file": ([(1, 1, "a", 1), (1, 2, "a", 2)], [(1, 2, "a", 2)], [(1, 1, "a", 1)], []),
    "there and back": (
        [(1, 1, "a", 1), (2, 1, "a", 2), (3, 1, "a", 1)], [(1, 1, "a", 1)], [(2, 1, "a", 2)], [3],
    ),
    "three values": (
        [(1, 1, "a", 1), (2, 1, "a", 2), (3, 1, "a", 3)], [(3, 1, "a", 3)], [(1, 1, "a", 1), (2, 1, "a", 2)], [],
    ),
    "a repeat of a loser": (
        [(1, 1, "a", 1), (1, 2, "a", 1), (2, 1, "a", 2)], [(2, 1, "a", 2)], [(1, 1, "a", 1)], [1],
    ),
    "no value is one key": (
        [(1, 1, None, 1), (2, 1, None, 2), (1, 2, "", 3)], [(2, 1, None, 2), (1, 2, "", 3)], [(1, 1, None, 1)], [],
    ),
    "equal hashes of two keys": ([(1, 1, "a", 1), (1, 2, "b", 1)], [(1, 1, "a", 1), (1, 2, "b", 1)], [], []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_row_is_kept_superseded_or_a_duplicate(case: str) -> None:
    rows, kept, superseded, duplicates = CASES[case]
    assert split(rows) == (kept, superseded, duplicates)


def test_without_a_key_only_whole_rows_repeat() -> None:
    rows: list[Row] = [(1, 1, "a", 1), (1, 2, "a", 2), (2, 1, "b", 1)]
    assert split(rows, ()) == ([(1, 1, "a", 1), (1, 2, "a", 2)], [], [2])


ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["a", "b", "", None]), st.integers(1, 3)), max_size=30
).map(lambda drawn: [(delivery, number, key, value) for number, (delivery, key, value) in enumerate(drawn, 1)])


@given(ROWS, st.randoms())
def test_nothing_is_lost_nothing_is_kept_twice_and_order_of_arrival_is_all_that_counts(
    rows: list[Row], random: st.DataObject
) -> None:
    kept, superseded, duplicates = split(rows)
    assert len(rows) == len(kept) + len(superseded) + len(duplicates)
    assert not Counter(kept + superseded) - Counter(rows)
    assert len({row[2] for row in kept}) == len(kept) == len({row[2] for row in rows})
    # The winning value is the latest one, and its first appearance stands for it.
    for key, value in {row[2]: row[3] for row in sorted(rows, key=lambda row: row[:2])}.items():
        assert min(row for row in rows if row[2:] == (key, value)) in kept
    shuffled = random.sample(rows, len(rows))  # type: ignore[attr-defined]
    again = split(shuffled)
    assert (sorted(again[0], key=str), again[1:]) == (sorted(kept, key=str), (superseded, duplicates))


def test_rows_on_disk_and_rows_in_memory_give_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        [(1 + n // 40, n, f"k{n * 7 % 60}", n % 7 % 3) for n in range(120)], schema=SCHEMA, orient="row"
    )
    spool = FrameSpool(SCHEMA, tmp_path, budget=1)
    for part in frame.iter_slices(7):
        spool.append(part)
    assert spool.is_spilled
    held, spilled = deduplicate(frame.lazy(), ["k"]), deduplicate(spool.scan(), ["k"])
    assert held.kept.collect().equals(spilled.kept.collect())
    assert held.superseded.equals(spilled.superseded)
    assert sorted(held.duplicates.rows()) == sorted(spilled.duplicates.rows())
    assert held.superseded.height > 5 and held.duplicates.height > 5

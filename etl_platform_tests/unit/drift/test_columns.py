"""Which differences of a file's columns are drift, and which other column a lost one may have become."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.drift.columns import CONTRACT, LAST, Difference, describe, find_drift, similarity
from etl_platform.transforms.sender_schema import SenderColumn, SenderSchema

PRICES = BUILT_IN["prices"]
TYPES = {
    "symbol": "text", "timestamp": "timestamp", "open": "decimal", "high": "decimal", "low": "decimal",
    "close": "decimal", "volume": "integer",
}  # fmt: skip


def schema(*without: str, file_format: str = "csv", reads: bool = True, **more: str) -> SenderSchema:
    """The contract's own columns but `without`, with `more` columns or other types."""
    return schema_of({n: kind for n, kind in TYPES.items() if n not in without} | more, more, file_format, reads)


def schema_of(
    wanted: Mapping[str, str], more: Collection[str] = (), file_format: str = "csv", reads: bool = True
) -> SenderSchema:
    return SenderSchema(
        file_format,
        tuple(
            SenderColumn(name, kind, name if name in TYPES else None, reads or name not in more)
            for name, kind in wanted.items()
        ),
    )


def found(now: SenderSchema, last: SenderSchema | None = None) -> dict[tuple[str, str], Difference]:
    return {(d.change, d.column): d for d in find_drift(now, PRICES, (), last)}


def test_the_contracts_columns_are_no_drift_in_any_order() -> None:
    backwards = SenderSchema("csv", schema().columns[::-1])
    assert found(schema()) == {} and found(backwards, schema()) == {}


def test_a_new_column_differs_from_both_and_then_only_from_the_contract() -> None:
    first = found(schema(venue="text"), schema())["new", "venue"]
    assert (first.after, first.against) == ("text", (CONTRACT, LAST))
    assert found(schema(venue="text"), schema(venue="text"))["new", "venue"].against == (CONTRACT,)
    assert found(schema(venue="text"))["new", "venue"].against == (CONTRACT,)


def test_a_required_column_is_missing_against_the_contract() -> None:
    assert found(schema("volume"))["missing", "volume"].against == (CONTRACT,)
    assert found(schema("volume"), schema())["missing", "volume"].against == (CONTRACT, LAST)
    assert found(schema("volume"), schema("volume"))["missing", "volume"].against == (CONTRACT,)


def test_a_column_that_the_key_supplies_is_not_missing() -> None:
    assert find_drift(schema("symbol"), PRICES, {"symbol"}) == ()


def test_an_optional_column_is_missing_only_when_it_was_there_and_not_in_json() -> None:
    contract = BUILT_IN["transactions"]
    all_columns = tuple(SenderColumn(c.name, "text", c.name) for c in contract.columns)
    without = tuple(c for c in all_columns if c.name != "description")
    now, before = SenderSchema("csv", without), SenderSchema("csv", all_columns)
    assert find_drift(now, contract) == ()
    (gone,) = find_drift(now, contract, (), before)
    assert (gone.change, gone.target, gone.against) == ("missing", "description", (LAST,))
    assert find_drift(SenderSchema("json", without), contract, (), SenderSchema("json", all_columns)) == ()


def test_an_unmapped_column_that_vanishes_is_missing() -> None:
    assert found(schema(), schema(venue="text"))["missing", "venue"].target is None


def test_a_similar_name_is_suggested_and_both_stay_differences() -> None:
    drift = found(schema("close", ClosePrice="decimal"), schema())
    assert drift["missing", "close"].suggestion == "perhaps ClosePrice now: a similar name"
    assert drift["new", "ClosePrice"].suggestion == "perhaps close before: a similar name"
    assert "close" in str(drift["new", "ClosePrice"]) and len(drift) == 2


def test_the_same_position_is_suggested_where_names_are_not_alike() -> None:
    columns = tuple(SenderColumn("qty", "integer") if c.name == "volume" else c for c in schema().columns)
    drift = found(SenderSchema("csv", columns), schema())
    assert drift["missing", "volume"].suggestion == "perhaps qty now: the same position"
    moved = SenderSchema("csv", (columns[-1], *columns[:-1]))
    assert found(moved, schema())["missing", "volume"].suggestion is None


def test_each_column_is_suggested_once_to_the_most_similar() -> None:
    drift = found(schema("close", "open", close_px="decimal", open_px="decimal"), schema())
    assert "close_px" in str(drift["missing", "close"].suggestion)
    assert "open_px" in str(drift["missing", "open"].suggestion)


@pytest.mark.parametrize(
    ("column", "before", "now", "is_drift"),
    [
        ("symbol", "text", "integer", True),
        ("symbol", "integer", "decimal", True),  # 7 became 7.0
        ("close", "decimal", "integer", False),
        ("close", "integer", "decimal", False),
        ("timestamp", "timestamp", "integer", True),
        ("volume", "integer", "empty", False),
        ("volume", "unclear", "integer", False),
    ],
)
def test_another_observed_type_is_drift_unless_a_number_stays_one(
    column: str, before: str, now: str, is_drift: bool
) -> None:
    drift = found(schema_of({**TYPES, column: now}), schema_of({**TYPES, column: before}))
    assert set(drift) == ({("retyped", column)} if is_drift else set())
    if is_drift:
        assert (drift["retyped", column].before, drift["retyped", column].after) == (before, now)
        assert drift["retyped", column].against == (LAST,)


def test_values_that_do_not_read_are_retyped_against_the_contract() -> None:
    drift = found(schema(close="text", reads=False))
    assert drift["retyped", "close"].against == (CONTRACT,)
    assert drift["retyped", "close"].before == "decimal(18, 8)"


def test_types_of_two_formats_are_not_compared() -> None:
    assert found(schema(file_format="parquet", volume="int64"), schema(volume="integer")) == {}
    assert ("retyped", "volume") in found(
        schema(file_format="parquet", volume="float64"), schema(file_format="parquet", volume="int64")
    )


def test_differences_survive_json_and_are_described_once() -> None:
    differences = [*found(schema("close", close_px="decimal"), schema()).values()]
    assert [Difference.from_json(d.as_json()) for d in differences] == differences
    text = describe([(file, difference) for file in ("a", "b") for difference in differences])
    assert text.count("missing column close") == 1
    many = [("a", Difference("new", f"c{n}", None, None, "text", (CONTRACT,))) for n in range(9)]
    assert "and 4 more" in describe(many)


def test_similarity_ignores_case_and_separators() -> None:
    assert similarity("Close Price", "close_price") == 1 and similarity("volume", "venue") < 0.6

"""Rules of prices and transactions, and broken rules folded into one finding per row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.declared.compiled import compile_declaration
from etl_platform.contracts.declared.declaration import Declaration
from etl_platform.errors import SchemaMismatchError
from etl_platform.limits import FOUND_CHARACTERS, VALIDATED_COLUMNS
from etl_platform.transforms.failures import FAILURE_SCHEMA, failures_of, fold, no_failures
from etl_platform.transforms.validate import find_failures, validate

DAY = dt.date(2025, 1, 15)
NOON = dt.datetime(2025, 1, 15, 12, tzinfo=dt.UTC)
PROCESSED = dt.datetime(2025, 1, 16, 2, tzinfo=dt.UTC)
TICK, HOUR = dt.timedelta(microseconds=1), dt.timedelta(hours=1)
STEP, UNIT = Decimal("0.00000001"), Decimal("0.0001")
PRICES, TRANSACTIONS = BUILT_IN["prices"], BUILT_IN["transactions"]
GOOD: dict[str, dict[str, Any]] = {
    "prices": {
        "symbol": "AAPL", "timestamp": NOON, "open": Decimal(10), "high": Decimal(12), "low": Decimal(9),
        "close": Decimal(11), "volume": 100,
    },
    "transactions": {
        "transaction_id": "T1", "account_id": "X-1", "timestamp": NOON, "amount": Decimal("12.5"), "currency": "CHF",
        "type": "deposit", "description": None,
    },
}  # fmt: skip
CONTEXT = {
    "business_date": DAY, "institution": "acme", "_processed_at": PROCESSED, "_source_file": "f", "_source_row": 1,
    "_row_hash": 1,
}  # fmt: skip


def frame(contract: Contract, *rows: dict[str, Any]) -> pl.DataFrame:
    filled = [{**GOOD[contract.dataset], **CONTEXT, **row} for row in rows]
    return pl.DataFrame(filled, schema=contract.silver.polars_schema)


def broken(contract: Contract, row: dict[str, Any]) -> set[str]:
    """Rules that the row breaks, on the way in and, the same, as stored."""
    found = find_failures(frame(contract, row), contract)
    stored = validate(frame(contract, row), contract)
    order = FAILURE_SCHEMA.names()
    assert found.sort(order).equals(stored.sort(order))
    return set(found.get_column("rule"))


def flat(price: str | Decimal) -> dict[str, Any]:
    return dict.fromkeys(("open", "high", "low", "close"), Decimal(price))


LATEST = PROCESSED + dt.timedelta(minutes=5)
TIMES = {
    # 12 hours before the day begins, and after 25 hours of it (the longest day has as many).
    "timestamp_is_in_business_date": (
        [{"timestamp": NOON - 24 * HOUR}, {"timestamp": NOON + 25 * HOUR, "_processed_at": NOON + 25 * HOUR}],
        [{"timestamp": NOON - 24 * HOUR - TICK},
         {"timestamp": NOON + 25 * HOUR + TICK, "_processed_at": NOON + 26 * HOUR}],
    ),
    "timestamp_is_not_in_future": ([{"timestamp": LATEST}], [{"timestamp": LATEST + TICK}]),
}  # fmt: skip
# dataset -> rule -> (rows that just pass, rows that just break it)
CASES: dict[str, dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]] = {
    "prices": {
        **TIMES,
        "symbol_is_well_formed": (
            [{"symbol": "A"}, {"symbol": "ABCDE"}],
            [{"symbol": s} for s in ("", "ABCDEF", "abc", "A1", "BRK.B", " A", "A\n", "Ä")],
        ),
        **{
            f"{name}_is_in_range": (
                [flat("0.01"), flat("1000000")],
                [{**flat("0.01"), name: Decimal("0.01") - STEP}, {**flat("1000000"), name: 10**6 + STEP},
                 {**flat("1"), name: Decimal(0)}, {**flat("1"), name: Decimal(-1)}],
            )
            for name in ("open", "high", "low", "close")
        },
        "high_is_highest": (
            [flat("10"), {"high": Decimal(11)}],
            [{"high": Decimal(11) - STEP}, {"open": Decimal(12) + STEP}, {**flat("10"), "low": Decimal(10) + STEP}],
        ),
        "low_is_lowest": (
            [flat("10"), {"low": Decimal(10)}],
            [{"low": Decimal(10) + STEP}, {"close": Decimal(9) - STEP}, {**flat("10"), "high": Decimal(10) - STEP}],
        ),
        "volume_is_not_negative": ([{"volume": 0}, {"volume": 2**63 - 1}], [{"volume": -1}, {"volume": -(2**63)}]),
    },
    "transactions": {
        **TIMES,
        "transaction_id_is_not_empty": ([{"transaction_id": "0"}], [{"transaction_id": ""}, {"transaction_id": " \t"}]),
        "transaction_id_is_visible": (
            [{"transaction_id": t} for t in ("T 1", "é-Ж-株")],
            [{"transaction_id": t} for t in (" T1", "T1 ", "T\u200b1", "T1\n", " \t")],
        ),
        "account_id_is_well_formed": (
            [{"account_id": "x"}, {"account_id": "A" * 34}, {"account_id": "CH93_0076-2"}],
            [{"account_id": a} for a in ("", "A" * 35, "A B", "Ä1", "x\n", "1;2")],
        ),
        "currency_is_iso_4217": ([{"currency": "JPY"}], [{"currency": c} for c in ("", "chf", "XYZ", "CHF ", "DEM")]),
        "type_is_known": (
            [{"type": "adjustment", "description": "x"}, {"type": "fee", "amount": Decimal(-1)}],
            [{"type": t} for t in ("", "Deposit", "gift")],
        ),
        "amount_is_not_zero": (
            [{"amount": Decimal("0.0001")}, {"amount": Decimal("-0.0001"), "type": "fee"}],
            [{"amount": Decimal(0)}, {"amount": Decimal(0), "type": "fee"}],
        ),
        "credit_is_positive": (
            [{"type": t} for t in ("deposit", "transfer_in", "interest", "dividend", "refund")],
            [{"type": t, "amount": -UNIT} for t in ("deposit", "transfer_in", "interest", "dividend", "refund")],
        ),
        "debit_is_negative": (
            [{"type": t, "amount": Decimal(-1)} for t in ("withdrawal", "transfer_out", "fee", "payment", "card")],
            [{"type": t, "amount": UNIT} for t in ("withdrawal", "transfer_out", "fee", "payment", "card")],
        ),
        "adjustment_is_explained": (
            [{"type": "reversal", "description": "x", "amount": Decimal(-1)}],
            [{"type": "reversal", "description": d} for d in (None, "", "  ")] + [{"type": "adjustment"}],
        ),
    },
}  # fmt: skip


@pytest.mark.parametrize(("dataset", "rule"), [(dataset, rule) for dataset in CASES for rule in CASES[dataset]])
def test_each_rule_sees_its_fault_and_nothing_beside_it(dataset: str, rule: str) -> None:
    contract = BUILT_IN[dataset]
    passing, breaking = CASES[dataset][rule]
    for row in passing:
        assert broken(contract, row) == set(), row
    for row in breaking:
        assert rule in broken(contract, row), row


@pytest.mark.parametrize("dataset", CASES)
def test_every_rule_has_a_case_and_every_required_column_a_presence_rule(dataset: str) -> None:
    contract = BUILT_IN[dataset]
    assert {r.name for r in contract.row_rules} == set(CASES[dataset])
    for column in contract.columns:
        expected = set() if column.nullable else {f"{column.name}_is_present"}
        assert broken(contract, {column.name: None}) == expected
    assert all(r.sentence.endswith(".") and r.columns for r in contract.rules)


def test_parameters_bind_one_institution_and_leave_the_others() -> None:
    bound = PRICES.bind({"symbol_pattern": r"^\d{4}$", "clock_skew_minutes": 0, "business_date_tolerance_hours": 0})
    assert broken(bound, {"symbol": "7203"}) == set() and broken(PRICES, {"symbol": "7203"}) == {
        "symbol_is_well_formed"
    }
    assert broken(bound, {"symbol": "AAPL"}) == {"symbol_is_well_formed"}
    late = {"symbol": "7203", "timestamp": PROCESSED + TICK}
    assert broken(bound, late) == {"timestamp_is_not_in_future", "timestamp_is_in_business_date"}
    assert broken(bound, {"symbol": "7203", "timestamp": dt.datetime(2025, 1, 15, tzinfo=dt.UTC)}) == set()


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("Asia/Tokyo", dt.date(2025, 1, 15), dt.datetime(2025, 1, 14, 15, tzinfo=dt.UTC)),
        ("America/New_York", dt.date(2025, 7, 1), dt.datetime(2025, 7, 1, 4, tzinfo=dt.UTC)),
        # The clocks of these days skip midnight, or have it twice.
        ("America/Asuncion", dt.date(2024, 10, 6), dt.datetime(2024, 10, 6, 4, tzinfo=dt.UTC)),
        ("America/Havana", dt.date(2024, 11, 3), dt.datetime(2024, 11, 3, 4, tzinfo=dt.UTC)),
        ("Africa/Cairo", dt.date(2024, 4, 26), dt.datetime(2024, 4, 25, 22, tzinfo=dt.UTC)),
    ],
)
def test_a_business_date_begins_at_the_institutions_own_midnight(zone: str, day: dt.date, first: dt.datetime) -> None:
    bound = PRICES.bind({"time_zone": zone, "business_date_tolerance_hours": 0})
    context = {"business_date": day, "_processed_at": first + 30 * HOUR}
    assert broken(bound, {"timestamp": first, **context}) == set()
    assert broken(bound, {"timestamp": first - TICK, **context}) == {"timestamp_is_in_business_date"}


def test_a_float_rule_refuses_what_is_no_number() -> None:
    indicators = BUILT_IN["technical_indicators"]
    row = {"symbol": "AAPL", "timestamp": NOON, **CONTEXT}
    for value in (float("nan"), float("inf"), float("-inf")):
        bad = pl.DataFrame([{**row, "rsi": value}], schema=indicators.silver.polars_schema)
        assert "rsi_is_in_range" in set(find_failures(bad, indicators).get_column("rule"))


def test_a_wrong_type_is_our_fault_and_not_the_rows() -> None:
    with pytest.raises(SchemaMismatchError, match="volume"):
        validate(frame(PRICES, {}).with_columns(pl.col("volume").cast(pl.Int32)), PRICES)


@given(
    st.lists(
        st.sampled_from([row for cases in CASES["prices"].values() for part in cases for row in part]), max_size=12
    )
)
def test_rows_in_a_batch_fail_as_they_fail_alone(rows: list[dict[str, Any]]) -> None:
    together = find_failures(frame(PRICES, *rows), PRICES)
    for index, row in enumerate(rows):
        alone = find_failures(frame(PRICES, row), PRICES)
        assert together.filter(pl.col("index") == index).drop("index").equals(alone.drop("index"))


def lines(*found: tuple[int, str, str, str | None]) -> pl.DataFrame:
    return pl.DataFrame(found, schema=FAILURE_SCHEMA, orient="row")


def folded(failures: pl.DataFrame, contract: Contract = PRICES) -> list[dict[str, Any]]:
    return fold(failures, contract).to_dicts()


def test_several_broken_rules_of_a_row_are_one_finding_in_the_contracts_order() -> None:
    failures = lines(
        (7, "volume_is_not_negative", "volume", "-1"), (3, "high_is_highest", "high", "9"),
        (7, "open_is_in_range", "open", "0"), (7, "symbol_is_present", "symbol", None),
    )  # fmt: skip
    expected: Iterable[Any] = [
        {"index": 3, "rules": ["high_is_highest"], "columns": ["high", "open", "low", "close"],
         "reason": "high_is_highest: The high is not below the open, the close or the low. (found '9')"},
        {"index": 7, "rules": ["symbol_is_present", "open_is_in_range", "volume_is_not_negative"],
         "columns": ["symbol", "open", "volume"],
         "reason": "symbol_is_present: symbol holds a value.; "
                   "open_is_in_range: The open price lies in 0.01..1,000,000. (found '0'); "
                   "volume_is_not_negative: The volume is not negative. (found '-1')"},
    ]  # fmt: skip
    assert folded(failures) == expected == folded(failures.reverse())


def test_what_did_not_read_is_not_also_missing() -> None:
    twice = lines((0, "open_is_typed", "open", "x"), (0, "open_is_present", "open", None))
    assert folded(twice)[0]["rules"] == ["open_is_typed"]
    # Of another column or another row it stays.
    others = lines(
        (0, "open_is_typed", "open", "x"), (0, "low_is_present", "low", None), (1, "open_is_present", "open", None)
    )
    assert [row["rules"] for row in folded(others)] == [["open_is_typed", "low_is_present"], ["open_is_present"]]


def test_long_values_are_cut_and_missing_ones_not_shown() -> None:
    found = failures_of(pl.Series([False, True]), "symbol_is_well_formed", "symbol", pl.Series(["a", "ä" * 500]))
    assert found.get_column("index").to_list() == [1] and found.schema == FAILURE_SCHEMA
    assert found.get_column("found").to_list() == ["ä" * FOUND_CHARACTERS]
    assert "found" not in folded(lines((0, "open_is_present", "open", None)))[0]["reason"]


def test_no_failures_fold_into_no_rows() -> None:
    assert fold(no_failures(), PRICES).is_empty()
    assert set(fold(no_failures(), PRICES).columns) == {"index", "rules", "columns", "reason"}


WIDE = compile_declaration(
    Declaration.model_validate(
        {
            "name": "wide",
            "title": "Wide",
            "key": ["c0"],
            "columns": [
                {"name": f"c{n}", "type": ("string", "integer", "float")[n % 3], "description": "One.", "nulls": nulls}
                | ({} if n % 5 else {"required": nulls == "drop"})
                | ({"min": 0} if n % 3 == 1 else {})
                for n in range(3 * VALIDATED_COLUMNS)
                for nulls in ("keep" if n % 7 == 3 else "drop",)
            ],
        }
    ),
    "wide.yaml",
)


def wide_frame(values: dict[int, Any]) -> pl.DataFrame:
    row = {column.name: values.get(n, ("text", 1, 1.5)[n % 3]) for n, column in enumerate(WIDE.columns)}
    return pl.DataFrame([row, {name: ("text", 1, 1.5)[n % 3] for n, name in enumerate(row)}], schema=WIDE_SCHEMA)


WIDE_SCHEMA = {column.name: column.dtype for column in WIDE.columns}


@given(st.dictionaries(st.integers(1, len(WIDE.columns) - 1), st.sampled_from([None, "bad"]), max_size=6))
def test_a_wide_contract_finds_in_parts_what_it_finds_as_a_whole(faults: dict[int, str | None]) -> None:
    rows = wide_frame({n: None if fault is None else ("text", -1, -1.5)[n % 3] for n, fault in faults.items()})
    order = FAILURE_SCHEMA.names()
    assert validate(rows, WIDE).sort(order).equals(find_failures(rows, WIDE).sort(order))


def test_a_wide_frame_that_lacks_a_column_or_has_another_type_is_a_fault_of_ours() -> None:
    rows = wide_frame({})
    with pytest.raises(SchemaMismatchError, match="c40"):
        validate(rows.drop("c40"), WIDE)
    with pytest.raises(SchemaMismatchError, match="c41"):
        validate(rows.with_columns(pl.lit(1).alias("c41")), WIDE)

"""Generated files are, row for row, what the answer sheet says, for any institution file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.quarantine import FILE
from etl_platform.errors import ConfigurationError
from etl_platform.gold.graph import gold_graph
from etl_platform.gold.tables.daily_bars import daily_bars
from etl_platform.gold.tables.transaction_summary import transaction_summary
from etl_platform.institutions.loader import BUILT_IN as INSTITUTION_FILES
from etl_platform.institutions.loader import load_institutions
from etl_platform.institutions.model import Institution
from etl_platform.sample.defects import kinds_for
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.expected import Expected, ExpectedPartition, load_expected
from etl_platform.sample.generate import business_days, generate
from etl_platform.transforms.validate import validate
from etl_platform_tests.support.silver import silver_of

WEDNESDAY = dt.date(2025, 1, 15)
CONTRACTS = built_in_contracts()
INSTITUTIONS = load_institutions(INSTITUTION_FILES, CONTRACTS)
READERS_RULES = {"row_has_all_fields", "line_is_json", "row_is_latest_of_its_key"}


def assert_silver_is_as_expected(
    landing: Path, expected: ExpectedPartition, institution: Institution, scratch: Path
) -> pl.DataFrame:
    """Run the partition; compare all counts and every single refused row. Gives the silver rows."""
    silver = silver_of(
        landing,
        expected.files,
        institution,
        expected.dataset,
        date=expected.business_date,
        scratch=scratch / expected.name,
    )
    rows = silver.quarantine.filter(pl.col("kind") != FILE).select("_source_file", "_source_row", "rules").collect()
    found = {(file, row): set(rules) for file, row, rules in rows.iter_rows()}
    wanted = {(r.file, r.row): set(r.rules) for r in expected.refused_rows}
    assert found == wanted
    assert {f.key: f.refusal.rule for f in silver.refused if f.refusal} == expected.refused_files
    assert (silver.rows_read, silver.rows_silver) == (expected.rows_read, expected.silver)
    assert (silver.rows_quarantined, silver.rows_duplicate) == (expected.quarantined, expected.duplicates)
    rules = {name: count for name, count in silver.rules.iter_rows() if name not in expected.refused_files.values()}
    assert rules == expected.rules
    assert silver.unexplained == 0
    return silver.silver.collect()


def assert_all_as_expected(
    landing: Path, expected: Expected, institutions: Mapping[str, Institution], scratch: Path
) -> None:
    for partition in expected.partitions:
        assert_silver_is_as_expected(landing, partition, institutions[partition.institution], scratch)


@pytest.mark.parametrize("code", INSTITUTIONS)
def test_silver_refuses_exactly_the_rows_that_were_spoiled(code: str, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    expected = generate(landing, {code: INSTITUTIONS[code]}, first_date=WEDNESDAY, days=2, rows_per_day=1_500, seed=5)
    assert {(p.dataset, p.business_date.day) for p in expected.partitions} == {
        (dataset, day) for dataset in INSTITUTIONS[code].datasets for day in (15, 16)
    }
    for partition in expected.partitions:
        assert partition.rows_read == 1_500 == partition.silver + partition.quarantined + partition.duplicates
        assert partition.superseded and partition.duplicates and len(partition.files) == 2
        contract = CONTRACTS[partition.dataset]
        assert set(partition.rules) - READERS_RULES == {r.name for r in contract.rules} - set(partition.skipped_rules)
    assert_all_as_expected(landing, expected, INSTITUTIONS, tmp_path / "scratch")


SENDERS = [Sender.of(i, CONTRACTS[dataset]) for i in INSTITUTIONS.values() for dataset in i.datasets]


@pytest.mark.parametrize("dataset", BUILT_IN)
def test_every_rule_of_every_contract_has_a_defect_in_a_text_format(dataset: str) -> None:
    senders = [s for s in SENDERS if s.dataset == dataset and s.is_text]
    assert senders, "no institution sends it as text"
    for kinds in map(kinds_for, senders):
        assert kinds.skipped == ()
        assert {r.name for r in BUILT_IN[dataset].rules} < set(kinds.made)


def test_typed_files_skip_only_what_they_cannot_hold() -> None:
    typed = [kinds_for(s) for s in SENDERS if not s.is_text]
    assert typed
    for kinds in typed:
        assert kinds.skipped and all(name.endswith("_is_typed") for name in kinds.skipped)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    def files(name: str, seed: int) -> dict[str, bytes]:
        root = tmp_path / name / "landing"
        generate(root, INSTITUTIONS, first_date=WEDNESDAY, days=1, rows_per_day=300, seed=seed)
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    first, second, other = files("first", 1), files("second", 1), files("other", 2)
    assert first == second
    assert first.keys() == other.keys() and not any(first[key] == other[key] for key in first)


def test_generating_again_touches_no_file(tmp_path: Path) -> None:
    def times() -> dict[Path, int]:
        generate(tmp_path / "landing", INSTITUTIONS, first_date=WEDNESDAY, days=1, rows_per_day=60)
        return {p: p.stat().st_mtime_ns for p in (tmp_path / "landing").rglob("*") if p.is_file()}

    assert times() == times()


def test_more_days_leave_the_earlier_days_as_they_were(tmp_path: Path) -> None:
    short = generate(tmp_path / "a" / "landing", INSTITUTIONS, first_date=WEDNESDAY, days=1, rows_per_day=60)
    long = generate(tmp_path / "b" / "landing", INSTITUTIONS, first_date=WEDNESDAY, days=4, rows_per_day=60)
    assert [p.business_date.day for p in long.partitions[:: len(short.partitions)]] == [15, 16, 17, 20]
    assert long.partitions[: len(short.partitions)] == short.partitions


def test_the_answer_sheet_lies_beside_the_landing_folder_and_reads_back(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    expected = generate(
        landing, INSTITUTIONS, first_date=WEDNESDAY, days=1, rows_per_day=200, unreadable_date=WEDNESDAY
    )
    assert load_expected(tmp_path / "expected.json") == expected
    assert not list(landing.rglob("expected.json"))
    with pytest.raises(ConfigurationError, match="generate the sample data again"):
        load_expected(tmp_path / "nowhere.json")


def test_an_unreadable_file_comes_only_on_its_date_and_is_refused_whole(tmp_path: Path) -> None:
    landing, thursday = tmp_path / "landing", dt.date(2025, 1, 16)
    expected = generate(landing, INSTITUTIONS, first_date=WEDNESDAY, days=2, rows_per_day=100, unreadable_date=thursday)
    assert {p.business_date for p in expected.partitions if p.refused_files} == {thursday}
    assert_all_as_expected(landing, expected, INSTITUTIONS, tmp_path / "scratch")


@pytest.mark.parametrize("rows", [1, 2, 7, 49, 50])
def test_small_files_keep_within_the_institutions_limits(rows: int, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    expected = generate(landing, INSTITUTIONS, first_date=WEDNESDAY, days=1, rows_per_day=rows)
    for partition in expected.partitions:
        limit = INSTITUTIONS[partition.institution].largest_quarantined_share(partition.dataset)
        assert partition.rows_read == rows and partition.quarantined <= limit * rows
    assert_all_as_expected(landing, expected, INSTITUTIONS, tmp_path / "scratch")


def test_where_a_day_has_no_room_for_all_faults_the_days_take_turns(tmp_path: Path) -> None:
    code = "institution_b"
    expected = generate(
        tmp_path / "landing", {code: INSTITUTIONS[code]}, first_date=WEDNESDAY, days=8, rows_per_day=200
    )
    broken = {rule for p in expected.partitions if p.dataset == "prices" for rule in p.rules}
    assert {r.name for r in BUILT_IN["prices"].rules} < broken


def test_without_defects_every_row_is_silver(tmp_path: Path) -> None:
    expected = generate(
        tmp_path / "landing", INSTITUTIONS, first_date=WEDNESDAY, days=1, rows_per_day=500, defect_share=0
    )
    assert all(p.silver == p.rows_read == 500 for p in expected.partitions)
    assert_all_as_expected(tmp_path / "landing", expected, INSTITUTIONS, tmp_path / "scratch")


def test_gold_of_a_generated_partition_keeps_its_rules(tmp_path: Path) -> None:
    landing, institution = tmp_path / "landing", INSTITUTIONS["institution_a"]
    expected = generate(landing, {"institution_a": institution}, first_date=WEDNESDAY, days=1, rows_per_day=900)
    for dataset, name, transform in (
        ("prices", "daily_bars", daily_bars),
        ("transactions", "transaction_summary", transaction_summary),
    ):
        partition = expected.partition(dataset, "institution_a", WEDNESDAY)
        rows = assert_silver_is_as_expected(landing, partition, institution, tmp_path / "scratch")
        gold = transform(rows.lazy()).collect()
        counted = gold[{"daily_bars": "bars", "transaction_summary": "transactions"}[name]]
        assert counted.sum() == partition.silver
        assert validate(
            gold.select(c.name for c in gold_graph().contracts[name].columns), gold_graph().contracts[name]
        ).is_empty()


def test_business_days_are_mondays_to_fridays() -> None:
    days = business_days(dt.date(2025, 1, 4), 11)
    assert (days[0], days[-1], len(days)) == (dt.date(2025, 1, 6), dt.date(2025, 1, 20), 11)
    assert all(d.weekday() < 5 for d in days)


ODD_SENDERS: dict[str, dict[str, Any]] = {
    "symbol in the key, no time left for seconds": {
        "time_zone": "America/Sao_Paulo",
        "key_pattern": "in/{date:%Y%m%d}/{institution}-{dataset}-{ticker}-...",
        "datasets": {
            "prices": {
                "columns_from_key": {"symbol": "ticker"},
                "times": {"formats": ["%m/%d/%Y %I:%M %p"]},
                "parameters": {"symbol_pattern": r"^[A-Z]+\.US$", "business_date_tolerance_hours": 0},
            }
        },
    },
    "one file a day, no header, control line, Latin-1": {
        "time_zone": "Asia/Kolkata",
        "key_pattern": "{institution}/{dataset}_{date:%Y-%m-%d}.txt",
        "datasets": {
            "prices": {
                "format": {
                    "type": "csv", "delimiter": "|", "header": False, "encoding": "latin-1",
                    "columns": ["volume", "when", "open", "high", "low", "close", "symbol"],
                    "trailer": r"^TRAILER\|(?P<rows>\d+)$",
                },
                "columns": {"when": "timestamp"},
                "null_texts": ["n/a"],
            },
            "transactions": {"constants": {"type": "fee", "currency": "INR"}, "format": {"type": "csv"}},
        },
    },
    "one JSON document, numbers as text with marks": {
        "time_zone": "Pacific/Auckland",
        "datasets": {
            name: {
                "format": {"type": "json", "layout": "array", "records": "data.rows"},
                "numbers": {"decimal": ",", "thousands": "'"},
                "times": {"formats": ["%Y%m%d%H%M%S%z"]},
            }
            for name in ("prices", "transactions", "technical_indicators", "anomalies", "accounts", "products")
        },
    },
    "Parquet with names of its own": {
        "time_zone": "Africa/Cairo",
        "datasets": {
            "prices": {"format": {"type": "parquet"}, "columns": {"px_open": "open", "ric": "symbol"}},
            "transactions": {"format": {"type": "parquet"}, "constants": {"type": "deposit"}},
            "accounts": {"format": {"type": "parquet"}, "constants": {"status": "closed", "currency": "EGP"}},
            "products": {"format": {"type": "parquet"}, "constants": {"status": "matured"}},
        },
    },
    # Cairo set its clocks back at 21:00 UTC on this evening, inside the session in California.
    "times in a zone that repeats an hour": {
        "time_zone": "America/Los_Angeles",
        "date": dt.date(2025, 10, 30),
        "datasets": {
            name: {
                "format": {"type": "csv", "delimiter": "\t"},
                "times": {"formats": ["%d-%b-%Y %H:%M:%S"], "time_zone": "Africa/Cairo"},
            }
            for name in ("prices", "transactions")
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_SENDERS)
def test_a_new_institution_file_works_without_code(case: str, tmp_path: Path) -> None:
    document = {"code": "newcomer", "name": "Newcomer", **ODD_SENDERS[case]}
    date = document.pop("date", WEDNESDAY)
    institutions = {"newcomer": Institution.model_validate(document)}
    landing = tmp_path / "landing"
    expected = generate(landing, institutions, first_date=date, days=1, rows_per_day=1_200, unreadable_date=date)
    assert {p.dataset for p in expected.partitions} == set(document["datasets"])
    assert all(p.quarantined > 10 for p in expected.partitions)
    assert_all_as_expected(landing, expected, institutions, tmp_path / "scratch")


@pytest.mark.parametrize("size", [{"days": 0}, {"rows_per_day": 0}, {"defect_share": 1.0}])
def test_an_impossible_size_says_so_and_writes_nothing(size: dict[str, Any], tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"first_date": WEDNESDAY, "days": 1, "rows_per_day": 10, **size}
    with pytest.raises(ConfigurationError, match="at least one day"):
        generate(tmp_path / "landing", INSTITUTIONS, **arguments)
    assert not (tmp_path / "landing").exists()


def test_a_day_that_is_not_over_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a day before today"):
        generate(tmp_path, INSTITUTIONS, first_date=dt.datetime.now(dt.UTC).date(), days=2, rows_per_day=10)


def test_more_bars_than_one_symbol_can_have_says_so(tmp_path: Path) -> None:
    config = {"prices": {"constants": {"symbol": "AAPL"}}}
    institution = Institution.model_validate({"code": "newcomer", "name": "Newcomer", "datasets": config})
    with pytest.raises(ConfigurationError, match="at most 23400"):
        generate(tmp_path, {"newcomer": institution}, first_date=WEDNESDAY, days=1, rows_per_day=30_000)


def test_a_pattern_that_no_symbol_fits_says_so(tmp_path: Path) -> None:
    config = {"prices": {"parameters": {"symbol_pattern": "^§$"}}}
    institution = Institution.model_validate({"code": "newcomer", "name": "Newcomer", "datasets": config})
    with pytest.raises(ConfigurationError, match="symbol_pattern"):
        generate(tmp_path, {"newcomer": institution}, first_date=WEDNESDAY, days=1, rows_per_day=10)


@settings(max_examples=25)
@given(
    sender=st.sampled_from(SENDERS), seed=st.integers(0, 2**32), rows=st.integers(1, 400), week=st.integers(0, 1_000)
)
def test_any_sample_of_any_dataset_is_refused_exactly_where_it_was_spoiled(
    sender: Sender, seed: int, rows: int, week: int
) -> None:
    institution = sender.institution.model_copy(update={"datasets": {sender.dataset: sender.config}})
    date = dt.date(2005, 1, 5) + dt.timedelta(weeks=week)
    with TemporaryDirectory() as folder:
        landing, institutions = Path(folder) / "landing", {sender.code: institution}
        expected = generate(landing, institutions, first_date=date, days=1, rows_per_day=rows, seed=seed)
        assert_all_as_expected(landing, expected, institutions, Path(folder) / "scratch")

"""A partition that had rows and has none warns, from the first date on, and blocks nothing."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.ledger.records import Outcome
from etl_platform.settings import Settings
from etl_platform_tests.execution.test_history import load_many
from etl_platform_tests.execution.test_stored import run_checks
from etl_platform_tests.support.platform import DATE, HEADER, Platform, Run, bar, plain_senders

KEY = f"first/prices/{DATE}/a.csv"
THREE = HEADER + bar("AAA") + bar("BBB") + bar("CCC")
BAD = HEADER + bar("AAA", close="99") + bar("BBB", close="98")


@pytest.fixture
def tolerant(tmp_path: Path, dagster_instance: dg.DagsterInstance) -> Platform:
    """A platform whose sender may have every row quarantined; nothing is delivered yet."""
    settings = "quality: {largest_quarantined_share: 1}"
    institutions = plain_senders(tmp_path / "institutions", "first", settings=settings)
    return Platform(Settings(home=tmp_path / "home", institutions_path=institutions), dagster_instance)


@pytest.fixture
def loaded(tolerant: Platform) -> Platform:
    """Three rows of one date are published: no other date to compare with."""
    tolerant.put(KEY, THREE)
    run = tolerant.ingest("first")
    assert run.succeeded and not run.failed_checks
    return tolerant


def volume(platform: Platform, run: Run) -> dg.AssetCheckEvaluation:
    """What the check says, of a run that went through all the same and published no row."""
    assert run.succeeded and set(run.failed_checks) <= {"volume_is_usual"}
    assert platform.attempt("prices", "first").outcome is Outcome.SUCCEEDED
    assert platform.table("warehouse", "prices", "first").is_empty()
    evaluation = run.checks["prices.volume_is_usual"]
    assert evaluation.severity is dg.AssetCheckSeverity.WARN and not evaluation.blocking
    return evaluation


def withdraw(platform: Platform, key: str) -> None:
    (found,) = platform.ledger.objects(key=key)
    assert platform.ledger.withdraw(found, reason="a mistake", by="ann", now=dt.datetime.now(dt.UTC))


@pytest.mark.parametrize(
    ("body", "said"), [(HEADER, "0 rows read, 0 quarantined"), (BAD, "2 rows read, 2 quarantined")]
)
def test_a_redelivery_without_a_good_row_warns_with_what_there_was_and_which_file(
    loaded: Platform, body: str, said: str
) -> None:
    loaded.put(KEY, body)
    found = volume(loaded, loaded.ingest("first"))
    assert not found.passed and found.metadata["rows_before"].value == 3
    assert found.description is not None and found.description.startswith("no rows, 3 before (published 20")
    assert f"the latest of 1 files is {KEY} ({said}); ask the sender" in found.description


def test_it_warns_once_and_again_only_while_the_empty_partition_is_not_published(loaded: Platform) -> None:
    loaded.put(KEY, HEADER)
    assert not volume(loaded, loaded.ingest("first")).passed
    assert set(run_checks(loaded).failed_checks) == {"volume_is_usual"}, "checks alone say the same of what is stored"
    again = volume(loaded, loaded.ingest("first"))
    assert again.passed and again.description == "0 earlier days are too few to compare with"
    loaded.put(KEY, THREE)
    assert loaded.ingest("first").succeeded
    loaded.put(KEY, HEADER)
    assert not volume(loaded, loaded.ingest("first")).passed


def test_a_run_that_published_nothing_changes_nothing_of_what_there_was_before(loaded: Platform) -> None:
    loaded.put(KEY, "no,header\n")
    assert not loaded.ingest("first").succeeded
    loaded.put(KEY, HEADER)
    assert not volume(loaded, loaded.ingest("first")).passed


def test_the_withdrawal_of_the_only_file_warns_with_its_key(loaded: Platform) -> None:
    withdraw(loaded, KEY)
    found = volume(loaded, loaded.ingest("first"))
    assert not found.passed and found.description is not None
    assert "no rows, 3 before" in found.description
    assert f"withdrawn since: {KEY}; no file is left; ask" in found.description


def test_a_withdrawal_beside_an_empty_file_names_both_and_an_old_one_is_not_named(loaded: Platform) -> None:
    old, empty = f"first/prices/{DATE}/old.csv", f"first/prices/{DATE}/empty.csv"
    loaded.put(old, HEADER + bar("DDD"))
    assert loaded.ingest("first").succeeded
    withdraw(loaded, old)
    loaded.put(empty, HEADER)
    assert loaded.ingest("first").succeeded
    withdraw(loaded, KEY)
    found = volume(loaded, loaded.ingest("first"))
    assert found.description is not None and old not in found.description
    assert f"withdrawn since: {KEY}; the latest of 1 files is {empty} (0 rows read" in found.description


def test_a_partition_that_never_had_rows_does_not_warn(tolerant: Platform) -> None:
    tolerant.put(KEY, HEADER)
    assert volume(tolerant, tolerant.ingest("first")).passed
    tolerant.put(KEY, BAD)
    assert volume(tolerant, tolerant.ingest("first")).passed


def test_a_partition_that_keeps_a_row_does_not_warn(loaded: Platform) -> None:
    loaded.put(KEY, HEADER + bar("AAA"))
    run = loaded.ingest("first")
    assert run.succeeded and not run.failed_checks


def test_with_earlier_dates_it_says_both(loaded: Platform) -> None:
    for days in (1, 2, 3):
        date = DATE - dt.timedelta(days=days)
        loaded.put(f"first/prices/{date}/a.csv", HEADER + bar("AAA", date=date))
        assert loaded.ingest("first", date).succeeded
    loaded.put(KEY, HEADER)
    found = volume(loaded, loaded.ingest("first"))
    assert {name: found.metadata[name].value for name in ("rows_before", "trailing_median")} == {
        "rows_before": 3, "trailing_median": 1,
    }  # fmt: skip
    assert found.description is not None and found.description.endswith("0.00x the median of 3 days")


def test_a_run_over_many_dates_warns_of_the_emptied_one_alone(tolerant: Platform) -> None:
    days = [DATE + dt.timedelta(days=n) for n in range(3)]
    for day in days:
        tolerant.put(f"first/prices/{day}/a.csv", HEADER + bar("AAA", date=day))
    first = load_many(tolerant, "first", "prices", days)
    assert first.succeeded and first.result.output_for_node("load_partitions") == {}
    tolerant.put(f"first/prices/{days[1]}/a.csv", HEADER)

    run = load_many(tolerant, "first", "prices", days)

    assert run.succeeded and tolerant.attempt("prices", "first", days[1]).outcome is Outcome.SUCCEEDED
    assert tolerant.table("warehouse", "prices", "first", days[1]).is_empty()
    warned = run.result.output_for_node("load_partitions")
    assert list(warned) == [f"{days[1]}|first"] and len(warned[f"{days[1]}|first"]) == 1
    (text,) = warned[f"{days[1]}|first"]
    assert text.startswith("volume_is_usual: no rows, 1 before (published ") and f"first/prices/{days[1]}/a.csv" in text
    assert load_many(tolerant, "first", "prices", days).result.output_for_node("load_partitions") == {}

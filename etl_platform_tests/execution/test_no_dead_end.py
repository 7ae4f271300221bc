"""No object blocks its partition for good: markers, deleted, withdrawn and overwritten files, corrected patterns."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.contracts.table import PartitionKey
from etl_platform.delivery import Delivery
from etl_platform.ledger.records import LedgerObject, State
from etl_platform_tests.execution.test_moves import scan
from etl_platform_tests.support.datasets import LEAST, platform_with
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, plain_senders

FOLDER = f"first/prices/{DATE}"
PARTITION = Delivery.of("prices", PartitionKey(DATE, "first"))
MARKERS = ("_SUCCESS", "_started_123", "_committed_123", ".DS_Store", ".part-0000.csv.crc", "part-0000.csv.crc")


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def one(platform: Platform, name: str) -> LedgerObject:
    (found,) = platform.ledger.objects(key=f"{FOLDER}/{name}")
    return found


def symbols(platform: Platform, layer: str = "warehouse") -> list[str]:
    return sorted(platform.table(layer, "prices", "first")["symbol"])


def with_settings(platform: Platform, settings: str) -> Platform:
    """The same installation after its institution files were changed."""
    plain_senders(Path(str(platform.settings.institutions_path)), "first", "second", settings=settings)
    return Platform(platform.settings, platform.instance)


@pytest.fixture
def blocked(plain: Platform) -> Platform:
    """A partition with a good file, which a file that nobody can read keeps out of the warehouse."""
    plain.put(f"{FOLDER}/a.csv", HEADER + bar("AAA"))
    plain.put(f"{FOLDER}/notes.txt", "remember the milk\n")
    scan(plain)
    assert "every_file_is_readable" in "".join(plain.ingest("first").failed_checks)
    assert one(plain, "notes.txt").state is State.REFUSED and symbols(plain) == []
    return plain


def test_markers_are_ignored_with_a_reason_and_no_alert(plain: Platform) -> None:
    plain.put(f"{FOLDER}/a.csv", HEADER + bar("AAA"))
    for name in MARKERS:
        plain.put(f"{FOLDER}/{name}", "")

    found = scan(plain)

    assert (found.new, found.unrouted, found.ignored, found.unrouted_samples) == (1, 0, len(MARKERS), ())
    ignored = plain.ledger.ignored(100)
    assert {o.key.rsplit("/", 1)[-1] for o in ignored} == set(MARKERS) and all(o.reason for o in ignored)
    assert plain.ingest("first").succeeded and symbols(plain) == ["AAA"]
    assert scan(plain).ignored == 0


def test_what_an_institution_ignores_stops_blocking(blocked: Platform) -> None:
    platform = with_settings(blocked, 'ignore: ["*.txt"]')

    found = scan(platform)

    assert (found.unrouted, found.ignored) == (0, 1)
    assert one(platform, "notes.txt").state is State.IGNORED and set(platform.ledger.open_reruns()) == {PARTITION}
    assert platform.ingest("first").succeeded and symbols(platform) == ["AAA"]


def test_a_corrected_pattern_stops_what_it_no_longer_claims_from_blocking(blocked: Platform) -> None:
    platform = with_settings(blocked, 'key_pattern: "{institution}/{dataset}/{date:%Y-%m-%d}/{part}.csv"')

    found = scan(platform)

    assert (found.new, found.unrouted) == (0, 1) and one(platform, "notes.txt").state is State.UNROUTED
    assert set(platform.ledger.open_reruns()) == {PARTITION}
    assert platform.ingest("first").succeeded and symbols(platform) == ["AAA"]
    (excluded,) = platform.table("bronze", "prices", "first").filter(key=f"{FOLDER}/notes.txt").rows(named=True)
    assert not excluded["is_current"]


@pytest.mark.parametrize("is_replayed", [False, True])
def test_a_refused_file_that_is_deleted_stops_blocking(blocked: Platform, is_replayed: bool) -> None:
    (blocked.landing_folder / FOLDER / "notes.txt").unlink()
    if is_replayed:
        blocked.ledger.request_replay(business_date=PARTITION.business_date, now=now())

    found = scan(blocked)

    assert (found.gone, scan(blocked).gone) == (1, 0)
    assert (one(blocked, "notes.txt").state, one(blocked, "notes.txt").reason) == (
        State.WITHDRAWN,
        "deleted from landing",
    )
    assert set(blocked.ledger.open_reruns()) == {PARTITION}
    assert blocked.ingest("first").succeeded and symbols(blocked) == ["AAA"]


def test_a_landing_folder_that_is_away_loses_nothing(blocked: Platform) -> None:
    away = blocked.landing_folder.rename(blocked.landing_folder.with_name("away"))

    assert scan(blocked).gone == 0 and one(blocked, "notes.txt").state is State.REFUSED

    away.rename(blocked.landing_folder)


def test_a_withdrawn_file_leaves_the_tables_and_comes_back_when_undone(plain: Platform) -> None:
    plain.put(f"{FOLDER}/a.csv", HEADER + bar("AAA"))
    path = plain.put(f"{FOLDER}/b.csv", HEADER + bar("BBB"))
    scan(plain)
    assert plain.ingest("first").succeeded and symbols(plain) == ["AAA", "BBB"]

    assert plain.ledger.withdraw(one(plain, "b.csv"), reason="a mistake", by="ann", now=now())

    assert set(plain.ledger.open_reruns()) == {PARTITION} and scan(plain).new == 0
    assert plain.ingest("first").succeeded
    assert symbols(plain) == symbols(plain, "silver") == ["AAA"]
    assert plain.table("bronze", "prices", "first").height == 2  # bronze keeps the bytes
    path.unlink()  # bronze has it: it need not be sent again

    assert plain.ledger.undo_withdrawal(one(plain, "b.csv"), by="ann", now=now())

    assert [p.partition for p in plain.ledger.pending_partitions(10)] == [PARTITION]
    assert plain.ingest("first").succeeded and symbols(plain) == ["AAA", "BBB"]
    assert one(plain, "b.csv").state is State.LOADED and plain.ledger.pending_partitions(10) == []


def test_other_bytes_under_a_withdrawn_key_are_loaded(blocked: Platform) -> None:
    blocked.ledger.withdraw(one(blocked, "notes.txt"), reason="a mistake", by="ann", now=now())
    assert scan(blocked).new == 0
    blocked.put(f"{FOLDER}/notes.txt", HEADER + bar("CCC"))

    assert scan(blocked).new == 1
    assert blocked.ingest("first").succeeded and symbols(blocked) == ["AAA", "CCC"]


def test_a_withdrawn_content_that_is_sent_again_replaces_nothing(plain: Platform) -> None:
    path = plain.put(f"{FOLDER}/a.csv", HEADER + bar("BAD"))
    scan(plain)
    assert plain.ingest("first").succeeded
    plain.ledger.withdraw(one(plain, "a.csv"), reason="a mistake", by="ann", now=now())
    assert plain.ingest("first").succeeded and symbols(plain) == []
    path.write_text(HEADER + bar("GOOD"))
    assert scan(plain).new == 1
    assert plain.ingest("first").succeeded and symbols(plain) == ["GOOD"]
    path.write_text(HEADER + bar("BAD"))

    assert scan(plain).new == 0

    assert plain.ingest("first").succeeded and symbols(plain) == ["GOOD"]


def test_in_mode_append_an_overwritten_file_counts_only_if_it_was_published(
    tmp_path: Path, dagster_instance: dg.DagsterInstance
) -> None:
    platform = platform_with(tmp_path, {"visits": f"{LEAST}write_mode: append\n"}, dagster_instance)
    key = f"first/visits/{DATE}/a.csv"

    def deliver(body: str) -> None:
        platform.put(key, body)
        scan(platform)

    deliver("no column of the contract\n1\n")
    assert not platform.ingest("first").succeeded
    deliver("visit_id,pages\nA,1\n")
    assert platform.ingest("first").succeeded
    assert platform.table("reconciliation", "visits", "first").height == 1  # the first was never published

    deliver("visit_id,pages\nB,2\nC,3\n")
    assert platform.ingest("first").succeeded

    assert sorted(platform.table("silver", "visits", "first")["visit_id"]) == ["A", "B", "C"]

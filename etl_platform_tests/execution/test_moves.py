"""A landing folder or bucket that was moved, copied or restored is nothing to run; other bytes always are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from etl_platform.landing.scan import Scan, scan_landing
from etl_platform.ledger.records import State
from etl_platform.settings import Settings
from etl_platform_tests.support.datasets import LEAST, platform_with
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, plain_senders
from etl_platform_tests.support.s3 import S3Bucket

FOLDER = f"first/prices/{DATE}"


def scan(platform: Platform, **options: float) -> Scan:
    wanted = {"max_new": 10_000, "max_seconds": 60.0, **options}
    return scan_landing(platform.landing, platform.ledger, None, **wanted)  # type: ignore[arg-type]


def elsewhere(platform: Platform, landing: Path | str) -> Platform:
    """The same installation, whose landing root is at another address now."""
    return Platform(platform.settings.model_copy(update={"landing": str(landing)}), platform.instance)


def has_nothing_to_run(platform: Platform) -> bool:
    return scan(platform).new == 0 and platform.ledger.pending_partitions(10) == []


def moved(folder: Path) -> Path:
    return folder.rename(folder.with_name("moved"))


def copied(folder: Path) -> Path:
    target = folder.with_name("copied")
    shutil.copytree(folder, target)
    return target


def restored_without_times(folder: Path) -> Path:
    backup = copied(folder)
    shutil.rmtree(folder)
    for path in backup.rglob("*"):
        os.utime(path)
    return backup.rename(folder)


def mounted_elsewhere(folder: Path) -> Path:
    target = folder.with_name("mount")
    target.symlink_to(folder, target_is_directory=True)
    return target


@pytest.fixture
def loaded(plain: Platform) -> Platform:
    plain.put(f"{FOLDER}/a.csv", HEADER + bar("AAA"))
    plain.put(f"{FOLDER}/b.csv", HEADER + bar("BBB"))
    plain.put("strangers/notes.txt", "not ours")
    scan(plain)
    assert plain.ingest("first").succeeded
    return plain


@pytest.mark.parametrize("move", [moved, copied, restored_without_times, mounted_elsewhere])
def test_the_same_bytes_elsewhere_are_nothing_to_run(loaded: Platform, move: Callable[[Path], Path]) -> None:
    before = loaded.table("silver", "prices", "first")
    platform = elsewhere(loaded, move(loaded.landing_folder))

    first = scan(platform)

    assert (first.new, first.unrouted, first.away) == (0, 0, ())
    is_at_another_address = move is not restored_without_times
    assert [root.name for root in first.moved_roots] == (["landing"] if is_at_another_address else [])
    assert scan(platform).moved_roots == () and has_nothing_to_run(platform)
    objects = platform.objects("prices", "first")
    assert [o.state for o in objects] == [State.LOADED] * 2
    assert all(o.uri.startswith(platform.landing.roots[0].store.url) for o in objects)

    run = platform.ingest("first")  # asked for by hand: the same again

    assert run.succeeded and run.metadata("bronze/prices")["objects_new"].value == 0
    manifest = platform.table("bronze", "prices", "first")
    assert sorted(manifest["uri"]) == sorted(o.uri for o in objects)
    assert platform.table("silver", "prices", "first").drop("_processed_at").equals(before.drop("_processed_at"))
    assert [o.state for o in platform.objects("prices", "first")] == [State.LOADED] * 2


def test_a_restore_changes_no_order_of_deliveries(plain: Platform) -> None:
    for seconds, (name, close) in enumerate([("z", "10"), ("a", "11")]):
        path = plain.put(f"{FOLDER}/{name}.csv", HEADER + "".join(bar(s) for s in "BCDEFGHIJK") + bar("A", close=close))
        os.utime(path, (1_700_000_000 + seconds,) * 2)
    assert plain.ingest("first").succeeded
    before = plain.table("silver", "prices", "first").drop("_processed_at")
    os.utime(plain.landing_folder / FOLDER / "a.csv", (1_800_000_000,) * 2)
    os.utime(plain.landing_folder / FOLDER / "z.csv", (1_900_000_000,) * 2)

    assert has_nothing_to_run(plain) and plain.ingest("first").succeeded

    assert plain.table("silver", "prices", "first").drop("_processed_at").equals(before)


def test_other_bytes_under_the_same_key_and_size_are_loaded(loaded: Platform) -> None:
    path = loaded.landing_folder / FOLDER / "a.csv"
    status = path.stat()
    path.write_text(HEADER + bar("CCC"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert path.stat().st_size == status.st_size

    assert scan(loaded).new == 1
    assert loaded.ingest("first").succeeded

    assert sorted(loaded.table("warehouse", "prices", "first")["symbol"]) == ["BBB", "CCC"]
    assert has_nothing_to_run(loaded)


def test_a_run_by_hand_after_a_move_finds_it_without_a_scan(loaded: Platform) -> None:
    platform = elsewhere(loaded, copied(loaded.landing_folder))

    run = platform.ingest("first")

    assert run.succeeded and run.metadata("bronze/prices")["objects_new"].value == 0
    assert [o.state for o in platform.objects("prices", "first")] == [State.LOADED] * 2


def test_a_tick_compares_no_longer_than_its_seconds_and_goes_on(loaded: Platform) -> None:
    for number in range(60):
        loaded.put(f"second/prices/{DATE}/{number:02}.csv", HEADER + bar("AAA", number % 60))
    scan(loaded)
    assert loaded.ingest("second").succeeded
    platform = elsewhere(loaded, copied(loaded.landing_folder))

    first = scan(platform, max_seconds=-1.0)
    second = scan_landing(platform.landing, platform.ledger, first.cursor, max_new=10_000, max_seconds=60)

    assert 0 < first.listed < 62
    assert (first.new, second.new, first.listed + second.listed) == (0, 0, 63)
    assert platform.ledger.pending_partitions(10) == []


def test_without_deduplication_a_moved_folder_with_a_new_file_counts_nothing_twice(
    tmp_path: Path, dagster_instance: dg.DagsterInstance
) -> None:
    before = platform_with(tmp_path, {"visits": f"{LEAST}deduplicate: off\n"}, dagster_instance)
    before.put(f"first/visits/{DATE}/a.csv", "visit_id,pages\nA,1\nB,2\n")
    scan(before)
    assert before.ingest("first").succeeded
    after = elsewhere(before, copied(before.landing_folder))
    after.put(f"first/visits/{DATE}/b.csv", "visit_id,pages\nC,3\n")

    assert scan(after).new == 1
    assert after.ingest("first").succeeded

    assert sorted(after.table("silver", "visits", "first")["visit_id"]) == ["A", "B", "C"]
    assert after.table("reconciliation", "visits", "first")["rows_read"].sum() == 3


def on_s3(tmp_path: Path, instance: dg.DagsterInstance, bucket: S3Bucket) -> Platform:
    folder = plain_senders(tmp_path / "institutions", "first", "second")
    server = bucket.server
    settings = Settings(
        home=tmp_path / "home",
        institutions_path=folder,
        landing=f"{bucket.url}/landing",
        s3_endpoint_url=server.endpoint_url,
        s3_region=server.region,
        s3_access_key_id=server.access_key_id,
        s3_secret_access_key=SecretStr(server.secret_access_key),
        s3_allow_http=True,
    )
    return Platform(settings, instance)


def put_in_parts(bucket: S3Bucket, key: str, body: bytes) -> None:
    """The same object with the etag that an upload in parts gives it."""
    client = bucket.server.client()
    upload = client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    part = client.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=body)
    client.complete_multipart_upload(
        Bucket=bucket.name,
        Key=key,
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )


def test_a_bucket_copied_with_another_part_size_is_nothing_to_run(
    tmp_path: Path, dagster_instance: dg.DagsterInstance, s3_bucket: S3Bucket
) -> None:
    before = on_s3(tmp_path, dagster_instance, s3_bucket)
    key, body = f"{FOLDER}/a.csv", (HEADER + bar("AAA")).encode()
    s3_bucket.put(f"landing/{key}", body)
    scan(before)
    assert before.ingest("first").succeeded
    (known,) = before.objects("prices", "first")
    other = s3_bucket.server.new_bucket()
    put_in_parts(other, f"landing/{key}", body)
    after = elsewhere(before, f"{other.url}/landing")

    found = scan(after)

    assert found.new == 0 and [r.name for r in found.moved_roots] == ["landing"]
    (object_,) = after.objects("prices", "first")
    assert object_.etag != known.etag and "-" in str(object_.etag) and object_.state is State.LOADED
    put_in_parts(other, f"landing/{key}", (HEADER + bar("CCC")).encode())
    assert scan(after).new == 1

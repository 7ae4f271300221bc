"""What every object store promises, on a folder and on S3; then what only one of them must hold."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from pydantic import ValidationError

from etl_platform.errors import ConfigurationError, StorageError, StorageUnavailableError
from etl_platform.object_store import folder as object_store_folder
from etl_platform.object_store import open as object_store
from etl_platform.object_store import probe as object_store_probe
from etl_platform.object_store import s3 as object_store_s3
from etl_platform.object_store.open import (
    Downloaded,
    ObjectInfo,
    ObjectMissingError,
    ObjectStore,
    S3Options,
    download_many,
    open_object_store,
)
from etl_platform_tests.support.quick import QUICK
from etl_platform_tests.support.s3 import S3Bucket, S3Server, s3_bucket, s3_server  # noqa: F401

AWKWARD_KEYS = [
    "institution_a/prices/2025-01-15/bars.csv",
    "with space/two  spaces.csv",
    "ünï/日本/😀.csv",
    "e\u0301-decomposed and \u00e9-composed",
    "percent%20/100%.csv",
    "plus+plus/a+b=c&d.csv",
    "hash#1/what?.csv",
    ".hidden/.dot.csv",
    "...dots/a..b",
    "quote'\"/<&>.csv",
    "star*[x]{y}~`|^.csv",
    "back\\slash",
    "semi;colon:at@comma,$!()",
]


def s3_options(server: S3Server) -> S3Options:
    return S3Options(
        endpoint_url=server.endpoint_url,
        region=server.region,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        allow_http=True,
    )


def open_bucket(bucket: S3Bucket, prefix: str = "") -> ObjectStore:
    return open_object_store(f"{bucket.url}/{prefix}", s3_options(bucket.server))


@pytest.fixture(params=["folder", "s3", "s3 with prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_object_store(str(tmp_path / "root folder"))
    bucket: S3Bucket = request.getfixturevalue("s3_bucket")
    return open_bucket(bucket, "some/pre fix+%/" if "prefix" in request.param else "")


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStore:
    (tmp_path / "root").mkdir()
    return open_object_store(str(tmp_path / "root"), retries=QUICK)


# --- both stores ---------------------------------------------------------------------------------------------


def test_awkward_keys_round_trip(store: ObjectStore, tmp_path: Path) -> None:
    for key in AWKWARD_KEYS:
        store.put_bytes(key, key.encode())
    assert [info.key for info in store.list()] == sorted(AWKWARD_KEYS)
    for key in AWKWARD_KEYS:
        assert store.read_bytes(key) == key.encode()
        found = store.head(key)
        assert found is not None and found.key == key and found.size == len(key.encode())
        receipt = store.download(key, tmp_path / "target")
        assert receipt.sha256 == hashlib.sha256(key.encode()).hexdigest() and store.digest(key) == receipt
        store.delete(key)
    assert list(store.list()) == []


def test_listing_is_in_byte_order_with_folders_among_files(store: ObjectStore) -> None:
    # '-' and '.' sort before '/', '0' after it; the full-width letter before the emoji in UTF-8, after it in UTF-16.
    keys = ["a/b/1", "a/b-c", "a/b.csv", "a-b", "a.csv", "a0", "a/b0/x", "A", "ａ", "😀", "a/c/d/e", "a/c-d", "ü"]
    for key in random.Random(7).sample(keys, len(keys)):
        store.put_bytes(key, b"")
    expected = sorted(keys, key=str.encode)
    assert [info.key for info in store.list()] == expected
    for after in [*expected, "a/", "a/b", "a/b/", "a/bz", "zz", "a/c/d/", "\U0010ffff"]:
        assert [i.key for i in store.list(start_after=after)] == [k for k in expected if k > after], after
    for prefix in ["a", "a/", "a/b", "a/c", "a/c/d/e", "nothing", "a/c/d/e/f"]:
        assert [i.key for i in store.list(prefix)] == [k for k in expected if k.startswith(prefix)], prefix
    within = [k for k in expected if k.startswith("a/") and k > "a/b/1"]
    assert [i.key for i in store.list("a/", start_after="a/b/1")] == within


def test_listing_tells_what_head_tells(store: ObjectStore) -> None:
    put = store.put_bytes("a/b.csv", b"12345")
    (listed,) = store.list()
    head = store.head("a/b.csv")
    assert head is not None
    assert (listed.uri, listed.key, listed.size) == (store.uri("a/b.csv"), "a/b.csv", 5)
    assert listed.etag == head.etag == put.etag and listed.etag and '"' not in listed.etag
    assert listed.last_modified.utcoffset() is not None and not listed.last_modified.utcoffset()
    assert abs((listed.last_modified - head.last_modified).total_seconds()) < 1  # S3 heads tell whole seconds
    assert put.last_modified == head.last_modified


def test_listing_a_store_without_objects_is_empty(store: ObjectStore) -> None:
    assert list(store.list()) == []
    assert list(store.list("a/")) == []


def test_overwriting_changes_etag_and_content(store: ObjectStore) -> None:
    before = store.put_bytes("a", b"same size 1")
    after = store.put_bytes("a", b"same size 2")
    assert before.etag != after.etag
    assert store.read_bytes("a") == b"same size 2"
    assert [info.etag for info in store.list()] == [after.etag]


def test_download_streams_hashes_and_replaces_the_target(store: ObjectStore, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3_500_001)
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    source.write_bytes(content)
    put = store.put_file("big", source)
    target.parent.mkdir()
    target.write_bytes(b"old")
    receipt = store.download("big", target)
    assert receipt == Downloaded(len(content), hashlib.sha256(content).hexdigest(), put.etag)
    assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize(("size", "is_file"), [(0, False), (1000, False), (1001, True)])
def test_an_object_up_to_a_limit_comes_in_memory_and_a_larger_one_as_a_file(
    store: ObjectStore, tmp_path: Path, size: int, is_file: bool
) -> None:
    content = random.Random(1).randbytes(size)
    put = store.put_bytes("a", content)
    receipt = store.obtain("a", tmp_path / "target", in_memory=1000)
    assert (receipt.size, receipt.sha256, receipt.etag) == (size, hashlib.sha256(content).hexdigest(), put.etag)
    assert receipt.content == (None if is_file else content)
    assert (tmp_path / "target").exists() == is_file
    assert not is_file or (tmp_path / "target").read_bytes() == content
    assert not size or str(content) not in repr(receipt)


def test_an_empty_object_is_an_object(store: ObjectStore, tmp_path: Path) -> None:
    store.put_bytes("empty", b"")
    assert [info.size for info in store.list()] == [0]
    assert store.download("empty", tmp_path / "t").size == 0
    assert (tmp_path / "t").read_bytes() == b""


def test_a_missing_object_is_told_as_such(store: ObjectStore, tmp_path: Path) -> None:
    assert store.head("no/such") is None
    store.delete("no/such")
    with pytest.raises(ObjectMissingError, match="no/such"):
        store.download("no/such", tmp_path / "target")
    with pytest.raises(ObjectMissingError):
        store.read_bytes("no/such")
    with pytest.raises(ObjectMissingError, match="no/such"):
        store.obtain("no/such", tmp_path / "target", in_memory=1000)
    with pytest.raises(ObjectMissingError):
        store.digest("no/such")
    assert not (tmp_path / "target").exists()


def test_the_stores_own_url_opens_it_again(store: ObjectStore, s3_server: S3Server) -> None:
    store.put_bytes("a/b", b"x")
    assert open_object_store(store.url, s3_options(s3_server)).read_bytes("a/b") == b"x"
    assert store.uri("a/b").startswith(store.url + "/")


def test_a_target_that_cannot_be_written_is_a_storage_error_about_the_target(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.put_bytes("a", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="download target"):
        store.download("a", tmp_path / "file" / "below")


def test_a_missing_upload_source_is_a_storage_error_about_the_source(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"upload source .*nothing-here"):
        store.put_file("a", tmp_path / "nothing-here")
    assert list(store.list()) == []


def test_many_downloads_come_in_the_order_asked_for(store: ObjectStore, tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(12)]
    for key in keys:
        store.put_bytes(key, key.encode())
    seen: list[str] = []
    items = [(key, tmp_path / "out" / key) for key in reversed(keys)]
    receipts = download_many(store, items, progress=lambda key, receipt: seen.append(key))
    assert [r.sha256 for r in receipts] == [hashlib.sha256(k.encode()).hexdigest() for k, _ in items]
    assert sorted(seen) == sorted(keys)
    assert all(target.read_bytes() == key.encode() for key, target in items)
    assert download_many(store, []) == []


# --- many downloads ------------------------------------------------------------------------------------------


class _Scripted:
    """A store whose downloads call `meet`, to see how many run at once and which are never started."""

    def __init__(self, meet: Callable[[str], None]) -> None:
        self.started: list[str] = []
        self.meet = meet

    def download(self, key: str, target: Path, *, version: str | None = None) -> Downloaded:
        self.started.append(key)
        self.meet(key)
        return Downloaded(0, "", None)


def _scripted(meet: Callable[[str], None]) -> tuple[_Scripted, ObjectStore]:
    store = _Scripted(meet)
    return store, cast("ObjectStore", store)


def test_as_many_downloads_run_at_once_as_asked_for() -> None:
    barrier = threading.Barrier(4)  # breaks unless four are inside at the same time
    _, store = _scripted(lambda key: cast("None", barrier.wait(timeout=5)))
    assert len(download_many(store, [(str(number), Path("t")) for number in range(8)], concurrency=4)) == 8


def test_the_first_failure_starts_no_further_download(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            cancelled.set()
            super().shutdown(wait=wait)

    def meet(key: str) -> None:
        if key == "0":
            raise ObjectMissingError("object 0", found="no such object")
        assert cancelled.wait(timeout=5)

    monkeypatch.setattr(object_store, "ThreadPoolExecutor", Pool)
    scripted, store = _scripted(meet)
    with pytest.raises(ObjectMissingError, match="object 0"):
        download_many(store, [(str(number), Path("t")) for number in range(100)], concurrency=2)
    assert set(scripted.started) <= {"0", "1", "2"}  # the second was under way, the third took the first one's thread


# --- the folder ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["../up", "a/../../up", "..", "a/..", "/abs", "a//b", "", ".", "a/./b", "a/", "nul\0"])
def test_a_folder_refuses_keys_that_are_no_path_inside_it(folder: ObjectStore, tmp_path: Path, key: str) -> None:
    (tmp_path / "up").write_bytes(b"outside")
    for action in (
        lambda: folder.head(key),
        lambda: folder.read_bytes(key),
        lambda: folder.put_bytes(key, b""),
        lambda: folder.delete(key),
        lambda: folder.download(key, tmp_path / "t"),
        lambda: folder.obtain(key, tmp_path / "t", in_memory=10),
    ):
        with pytest.raises(StorageError, match="no path inside the folder"):
            action()
    assert (tmp_path / "up").read_bytes() == b"outside"


def test_symlinks_that_leave_the_folder_are_refused_and_hide_nothing_else(
    folder: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(outside / "secret")
    (root / "linked").symlink_to(outside)
    (root / "circle").symlink_to(root / "circle")
    (root / "inner").symlink_to(root)
    folder.put_bytes("real", b"1")
    (root / "same").symlink_to(root / "real")
    assert [info.key for info in folder.list()] == ["real", "same"]
    assert "'link'" in caplog.text
    for key in ("link", "linked/secret"):
        with pytest.raises(StorageError, match="leads out of the folder"):
            folder.read_bytes(key)
    with pytest.raises(StorageError, match="leads out of the folder"):
        folder.put_bytes("linked/new", b"")
    with pytest.raises(StorageError, match="leads out of the folder"):
        folder.delete("linked/secret")
    folder.put_bytes("link", b"2")  # replaces the link, not what it points to
    folder.delete("same")
    assert (outside / "secret").read_bytes() == b"secret" and folder.read_bytes("real") == b"1"


def test_what_is_no_file_or_has_no_readable_name_is_not_listed(
    folder: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "root"
    os.mkfifo(root / "pipe")
    (root / "dir" / "below").mkdir(parents=True)
    (root / os.fsdecode(b"latin-\xe9")).write_bytes(b"")
    folder.put_bytes("z", b"")
    assert [info.key for info in folder.list()] == ["z"]
    assert "pipe" in caplog.text and "latin" in caplog.text
    assert folder.head("dir") is None
    with pytest.raises(StorageError, match="pipe"):
        folder.read_bytes("pipe")


def test_a_file_changed_in_place_gets_another_etag(folder: ObjectStore, tmp_path: Path) -> None:
    before = folder.put_bytes("a", b"11")
    path = tmp_path / "root" / "a"
    path.write_bytes(b"22")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # the clock of a file system may tick slower than this test
    after = folder.head("a")
    assert after is not None and after.etag != before.etag


def test_a_file_that_grows_during_the_download_is_worth_another_try(folder: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "root" / "a"
    folder.put_bytes("a", b"x" * 10)
    with folder._opened("a") as (file, info):  # type: ignore[attr-defined]
        chunks = folder._chunks(file, info)  # type: ignore[attr-defined]
        assert next(chunks) == b"x" * 10
        path.write_bytes(b"longer than before")
        with pytest.raises(StorageUnavailableError, match="changed while it was read"):
            list(chunks)


@pytest.mark.parametrize("in_memory", [0, 100])
def test_a_file_that_grows_while_it_is_obtained_is_worth_another_try(
    folder: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    folder.put_bytes("a", b"x" * 10)
    chunks = folder._chunks  # type: ignore[attr-defined]

    def chunks_of_a_growing_file(store: ObjectStore, file: BinaryIO, info: ObjectInfo) -> Iterator[bytes]:
        for chunk in chunks(file, info):
            yield chunk
            (tmp_path / "root" / "a").write_bytes(b"longer than before")

    monkeypatch.setattr(type(folder), "_chunks", chunks_of_a_growing_file)
    with pytest.raises(StorageUnavailableError, match="changed while it was read"):
        folder.obtain("a", tmp_path / "target", in_memory=in_memory)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.ENETDOWN])
def test_a_mount_whose_other_end_is_away_is_asked_again_like_any_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = open_object_store(str(tmp_path), retries=QUICK, service="landing")
    store.put_bytes("folder/a", b"x")
    coming: list[OSError] = []

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if coming:
                raise coming.pop()
            return real(*arguments, **options)

        return call

    def away(times: int) -> None:
        coming[:] = [OSError(code, os.strerror(code)) for _ in range(times)]

    for name in ("open", "scandir"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    uses: list[Callable[[], bool]] = [
        lambda: store.read_bytes("folder/a") == b"x",
        lambda: [info.key for info in store.list()] == ["folder/a"],
    ]
    for use in uses:
        away(4)
        assert use() and not coming
        away(99)
        with pytest.raises(StorageUnavailableError, match="gave up after 5 tries") as caught:
            use()
        assert (len(coming), caught.value.service) == (94, "landing")
    away(1)
    with pytest.raises(StorageUnavailableError) as caught:
        store.probe()
    assert not coming and caught.value.service == "landing", "a probe asks once"


def test_a_full_disk_is_told_at_once(folder: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="free space"):
        folder.put_bytes("a", b"x")
    assert len(calls) == 1


def test_a_probe_of_a_folder_makes_nothing_and_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_object_store(str(tmp_path / "not" / "there"), service="landing")
    store.probe()
    assert list(tmp_path.iterdir()) == []
    released, looks = threading.Event(), []

    def hanging(path: Path) -> None:
        looks.append(path)
        released.wait()

    monkeypatch.setattr(object_store_probe, "_list", hanging)
    monkeypatch.setattr(object_store_folder, "PROBE_SECONDS", 0.05)
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match=r"no answer within 0.05 s") as caught:
            store.probe()
        assert caught.value.service == "landing"
    released.set()
    assert len(looks) == 1, "a folder that hangs is looked at by one thread"


def test_a_write_in_progress_is_never_seen_and_a_failed_one_leaves_the_old_object(
    folder: ObjectStore, tmp_path: Path
) -> None:
    folder.put_bytes("a", b"old")
    seen: list[list[str]] = []

    def chunks() -> Iterator[bytes]:
        yield b"half"
        seen.append([info.key for info in folder.list()])
        assert folder.read_bytes("a") == b"old"
        raise StorageUnavailableError("source", found="broke off")

    with pytest.raises(StorageUnavailableError, match="broke off"):
        folder._put("a", chunks())  # type: ignore[attr-defined]
    assert seen == [["a"]]
    assert folder.read_bytes("a") == b"old"
    assert [path.name for path in (tmp_path / "root").rglob("*") if path.is_file()] == ["a"]


def test_a_writer_killed_midway_leaves_nothing_listed_and_is_cleaned_up(folder: ObjectStore, tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from etl_platform.object_store.open import open_object_store\n"
        "def chunks():\n    yield b'half' * 1000000\n    os.kill(os.getpid(), 9)\n"
        "open_object_store(sys.argv[1])._put('a', chunks())"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "root")], check=False)
    assert killed.returncode == -9
    (left,) = [path for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert list(folder.list()) == [] and folder.head("a") is None
    with pytest.raises(StorageError, match="not below"):
        folder.head(str(left.relative_to(tmp_path / "root")))
    folder.put_bytes("b", b"")
    assert left.exists()  # it might belong to a living writer
    os.utime(left, (0, 0))
    folder.put_bytes("b", b"")
    assert not left.exists()


def test_readers_of_an_overwritten_object_see_one_whole_version(folder: ObjectStore) -> None:
    versions = [bytes([letter]) * 2_000_000 for letter in b"ab"]
    folder.put_bytes("k", versions[0])
    stop = threading.Event()

    def overwrite() -> None:
        while not stop.is_set():
            for version in versions:
                folder.put_bytes("k", version)

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        assert {folder.read_bytes("k") in versions for _ in range(50)} == {True}
    finally:
        stop.set()
        writer.join()


def test_objects_are_readable_by_whoever_the_umask_allows(folder: ObjectStore, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder.put_bytes("a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "root" / "a").stat().st_mode) == 0o640


def test_an_object_and_a_folder_of_its_name_are_told_apart(folder: ObjectStore) -> None:
    folder.put_bytes("a", b"")
    assert folder.head("a/b") is None
    folder.delete("a/b")
    with pytest.raises(StorageError, match="cannot hold both"):
        folder.put_bytes("a/b", b"")
    folder.put_bytes("d/e", b"")
    with pytest.raises(StorageError, match="cannot hold both"):
        folder.put_bytes("d", b"")
    folder.delete("d")
    assert [info.key for info in folder.list()] == ["a", "d/e"]


def test_a_folder_has_no_versions(folder: ObjectStore, tmp_path: Path) -> None:
    folder.put_bytes("a", b"")
    with pytest.raises(StorageError, match="keeps no versions"):
        folder.download("a", tmp_path / "t", version="1")


def test_a_listing_survives_files_that_vanish_under_it(folder: ObjectStore) -> None:
    for key in ("a", "b/c", "d/e"):
        folder.put_bytes(key, b"")
    listing = folder.list()
    assert next(listing).key == "a"
    folder.delete("b/c")
    assert [info.key for info in listing] == ["d/e"]


# --- S3 ------------------------------------------------------------------------------------------------------


def test_keys_that_are_no_paths_neither_break_nor_hide(s3_bucket: S3Bucket, tmp_path: Path) -> None:
    keys = ["/lead", "a//b", "a/../b", "a/./b", "trail/", "z"]
    for key in keys:
        s3_bucket.put(key, key.encode())
    store = open_bucket(s3_bucket)
    assert [info.key for info in store.list()] == sorted(keys)
    for key in keys:
        assert store.read_bytes(key) == key.encode()
        assert store.head(key) is not None
    assert store.download("a/../b", tmp_path / "t").size == 6


def test_a_prefix_ends_at_a_slash_and_its_own_placeholder_is_no_object(s3_bucket: S3Bucket) -> None:
    for key in ("lake/", "lake/a", "lake2/b", "other"):
        s3_bucket.put(key, b"")
    assert [info.key for info in open_bucket(s3_bucket, "lake").list()] == ["a"]


def test_a_listing_of_several_pages_is_complete(s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_bucket(s3_bucket)
    for number in range(7):
        store.put_bytes(f"k+{number}", b"")
    page = store._page  # type: ignore[attr-defined]
    pages: list[int] = []

    def small_page(prefix, request):  # type: ignore[no-untyped-def]
        answer = page(prefix, {**request, "MaxKeys": 2})
        pages.append(answer["KeyCount"])
        return answer

    monkeypatch.setattr(store, "_page", small_page)
    assert [info.key for info in store.list(start_after="k+1")] == [f"k+{number}" for number in range(2, 7)]
    assert pages == [2, 2, 1]


def test_a_version_can_be_downloaded_after_it_was_replaced(s3_server: S3Server, tmp_path: Path) -> None:
    store = open_bucket(s3_server.new_bucket(versioned=True))
    first, second = store.put_bytes("a", b"1"), store.put_bytes("a", b"22")
    assert first.version and second.version and first.version != second.version
    head = store.head("a")
    assert head is not None and head.version == second.version
    assert store.download("a", tmp_path / "t", version=first.version).etag == first.etag
    assert (tmp_path / "t").read_bytes() == b"1"


def test_a_large_file_goes_up_in_parts(
    s3_bucket: S3Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(object_store_s3, "S3_PART_BYTES", 5 << 20)  # S3's smallest part
    content = random.Random(2).randbytes((11 << 20) + 3)
    (tmp_path / "source").write_bytes(content)
    store = open_bucket(s3_bucket)
    put = store.put_file("large", tmp_path / "source")
    assert put.size == len(content) and put.etag is not None and put.etag.endswith("-3")
    assert hashlib.sha256(s3_bucket.get("large")).digest() == hashlib.sha256(content).digest()


def test_a_source_that_grows_during_a_large_upload_leaves_no_object(
    s3_bucket: S3Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(object_store_s3, "S3_PART_BYTES", 5 << 20)
    source = tmp_path / "source"
    source.write_bytes(bytes(6 << 20))
    store = open_bucket(s3_bucket)
    ask = store._ask  # type: ignore[attr-defined]

    def ask_while_it_grows(key: str, request: Callable[[], object]) -> object:
        with source.open("ab") as sender:
            sender.write(b"more")
        return ask(key, request)

    monkeypatch.setattr(store, "_ask", ask_while_it_grows)
    with pytest.raises(StorageUnavailableError, match=r"upload source .*its size when the upload began"):
        store.put_file("a", source)
    assert s3_bucket.keys() == []


def test_a_missing_bucket_is_named_with_what_to_do(s3_server: S3Server) -> None:
    store = open_object_store("s3://no-such-bucket/x", s3_options(s3_server))
    with pytest.raises(StorageError, match=r"s3://no-such-bucket/x.*NoSuchBucket.*correct the bucket's name"):
        list(store.list())


def test_missing_credentials_are_told_without_asking_anybody(
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = S3Options(endpoint_url=s3_server.endpoint_url, allow_http=True, region="us-east-1")
    with pytest.raises(StorageError, match=r"NoCredentialsError.*set access_key_id"):
        open_object_store("s3://bucket", options).head("a")


def test_the_machines_own_credentials_serve_when_none_are_given(
    s3_bucket: S3Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-environment")
    options = S3Options(endpoint_url=s3_bucket.server.endpoint_url, allow_http=True)
    assert open_object_store(s3_bucket.url, options).put_bytes("a", b"1").size == 1


# --- opening, options, secrets -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/data/lake", "file:///data/lake"),
        ("/data/with space/100%", "file:///data/with%20space/100%25"),
        ("file:///data/with%20space/100%25", "file:///data/with%20space/100%25"),
        ("file://localhost/data", "file:///data"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://bucket/a b#c?d", "s3://bucket/a b#c?d"),
    ],
)
def test_a_url_says_which_store(url: str, shown: str) -> None:
    assert open_object_store(url).url == shown


@pytest.mark.parametrize(
    "url", ["gs://bucket/x", "s3://", "s3:///key", "file://host/x", "file://rel", "file:///a#b", "https://host/x"]
)
def test_a_url_of_no_store_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected s3://bucket/prefix, file:"):
        open_object_store(url)


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_object_store("lake").url == (tmp_path / "lake").as_uri()
    assert not (tmp_path / "lake").exists()


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as error:
        open_object_store("s3://AKIA1:hunter2/x@bucket/prefix")
    assert "hunter2" not in str(error.value) and "AKIA1" not in str(error.value)


def test_secrets_are_in_no_text_that_we_give_out(s3_server: S3Server) -> None:
    options = s3_options(s3_server).model_copy(update={"endpoint_url": "http://127.0.0.1:9"})
    store = open_object_store("s3://bucket/x", options)
    with pytest.raises(StorageUnavailableError) as error:
        store._once("a", lambda: store._client.head_object(Bucket="b", Key="k"))  # type: ignore[attr-defined]
    texts = [repr(options), str(options), options.model_dump_json(), repr(store), str(store), store.url]
    texts += [str(error.value), repr(error.value), str(error.value.__cause__), repr(vars(store))]
    assert not [text for text in texts if s3_server.secret_access_key in text]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"access_key_id": "a"}, "belong together"),
        ({"secret_access_key": "hunter2"}, "belong together"),
        ({"session_token": "hunter2"}, "session_token needs"),
        ({"endpoint_url": "http://s3.local"}, "allow_http"),
        ({"endpoint_url": "s3.local"}, "must look like"),
        ({"endpoint_url": "https://u:hunter2@s3.local"}, "must not hold credentials"),
        ({"secret_access_key": ["hunter2"]}, "valid string"),
        ({"secret_acces_key": "hunter2"}, "Extra inputs"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as error:
        S3Options.model_validate(options)
    assert "hunter2" not in str(error.value)


def test_opening_a_store_imports_no_s3_library() -> None:
    program = (
        "import sys\nfrom etl_platform.object_store.open import *\n"
        "open_object_store('s3://bucket/x', S3Options(region='eu-central-1'))\n"
        "assert not {'boto3', 'botocore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

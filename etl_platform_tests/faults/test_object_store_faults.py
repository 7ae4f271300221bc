"""S3 that throttles, breaks off, stalls or refuses: what passes is tried five times, what does not is told at once."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import SSLError
from urllib3.exceptions import SSLError as BrokenBodyTlsError

from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.object_store import s3 as object_store_s3
from etl_platform.object_store.open import (
    ObjectMissingError,
    ObjectStore,
    S3Options,
    download_many,
    open_object_store,
)
from etl_platform.object_store.s3_errors import explain
from etl_platform.retries import Retries
from etl_platform_tests.support.flaky_http import (
    Answer,
    CutBody,
    Fault,
    FlakyServer,
    LoseAnswer,
    PassOn,
    Reset,
    Stall,
    run_flaky_server,
)
from etl_platform_tests.support.quick import QUICK
from etl_platform_tests.support.s3 import S3Bucket, S3Server, s3_bucket, s3_server  # noqa: F401

SLOW_DOWN = Answer(503, "SlowDown")
CONTENT = random.Random(3).randbytes(3_000_000)


@pytest.fixture
def flaky(s3_server: S3Server) -> Iterator[FlakyServer]:
    with run_flaky_server(s3_server.endpoint_url) as server:
        yield server


@pytest.fixture
def store(flaky: FlakyServer, s3_bucket: S3Bucket) -> ObjectStore:
    s3_bucket.put("a", CONTENT)
    return open_flaky(flaky, s3_bucket)


def open_flaky(
    flaky: FlakyServer, bucket: S3Bucket, read_timeout_seconds: float = 10, retries: Retries = QUICK
) -> ObjectStore:
    options = S3Options(
        endpoint_url=flaky.endpoint_url,
        region=bucket.server.region,
        access_key_id=bucket.server.access_key_id,
        secret_access_key=bucket.server.secret_access_key,
        allow_http=True,
        read_timeout_seconds=read_timeout_seconds,
    )
    return open_object_store(bucket.url, options, retries, service="lake")


def is_complete(store: ObjectStore, target: Path) -> bool:
    receipt = store.download("a", target)
    return (receipt.size, receipt.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest()) and (
        target.read_bytes() == CONTENT
    )


MAY_PASS: list[Fault] = [
    SLOW_DOWN,
    Answer(429, "TooManyRequests"),
    Answer(500, "InternalError"),
    Answer(502, "BadGateway"),
    Answer(400, "RequestTimeout"),
    Reset(),
    LoseAnswer(),
    CutBody(0),
    CutBody(2_500_000),
]


@pytest.mark.parametrize("fault", MAY_PASS, ids=str)
def test_what_may_pass_is_tried_again_until_it_passes(
    store: ObjectStore, flaky: FlakyServer, tmp_path: Path, fault: Fault
) -> None:
    flaky.fail(*[fault] * 4)
    assert is_complete(store, tmp_path / "target")
    assert len(flaky.requests) == 5


@pytest.mark.parametrize("in_memory", [0, len(CONTENT)])
@pytest.mark.parametrize("fault", MAY_PASS, ids=str)
def test_what_may_pass_is_tried_again_wherever_the_object_goes(
    store: ObjectStore, flaky: FlakyServer, tmp_path: Path, fault: Fault, in_memory: int
) -> None:
    target = tmp_path / "target"
    flaky.fail(*[fault] * 4)
    receipt = store.obtain("a", target, in_memory=in_memory)
    assert (target.read_bytes() if receipt.content is None else receipt.content) == CONTENT
    assert (receipt.content is None) == (not in_memory) == target.exists()
    assert len(flaky.requests) == 5
    flaky.fail(*[fault] * 5)
    with pytest.raises(StorageUnavailableError):
        store.obtain("a", target, in_memory=in_memory)


@pytest.mark.parametrize("fault", MAY_PASS, ids=str)
def test_after_five_attempts_the_store_counts_as_unavailable(
    store: ObjectStore, flaky: FlakyServer, tmp_path: Path, fault: Fault
) -> None:
    flaky.fail(*[fault] * 5)
    told = r"s3://test-bucket-\d+/a: gave up after 5 tries in [\d.]+ s; last answer: .*next step"
    with pytest.raises(StorageUnavailableError, match=told) as caught:
        store.download("a", tmp_path / "target")
    assert (caught.value.service, caught.value.tries) == ("lake", 5)
    assert len(flaky.requests) == 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (Answer(403, "AccessDenied"), "AccessDenied.*allow s3:GetObject"),
        (Answer(403, "InvalidAccessKeyId"), "correct the access key"),
        (Answer(403, "SignatureDoesNotMatch"), "correct the secret access key"),
        (Answer(400, "ExpiredToken"), "get a new session token"),
        (Answer(404, "NoSuchBucket"), "correct the bucket's name"),
        (Answer(501, "NotImplemented"), "NotImplemented"),
    ],
    ids=str,
)
def test_a_refusal_is_told_at_once_after_one_request(
    store: ObjectStore, flaky: FlakyServer, tmp_path: Path, fault: Fault, found: str
) -> None:
    flaky.fail(fault)
    with pytest.raises(StorageError, match=found) as error:
        store.download("a", tmp_path / "target")
    assert not isinstance(error.value, ObjectMissingError)
    assert len(flaky.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_object_costs_one_request(store: ObjectStore, flaky: FlakyServer, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissingError):
        store.download("b", tmp_path / "target")
    assert store.head("b") is None
    assert len(flaky.requests) == 2


def test_a_silent_server_is_given_up_and_asked_again(
    flaky: FlakyServer,
    s3_bucket: S3Bucket,
    tmp_path: Path,
) -> None:
    s3_bucket.put("a", CONTENT)
    store = open_flaky(flaky, s3_bucket, read_timeout_seconds=0.3)
    flaky.fail(Stall(), Stall())
    begun = time.monotonic()
    assert is_complete(store, tmp_path / "target")
    assert len(flaky.requests) == 3
    assert time.monotonic() - begun < 30  # the setting counts, not the default of 60 s


def test_broken_tls_may_pass_but_an_untrusted_certificate_does_not() -> None:
    untrusted = SSLError(endpoint_url="https://s3.local", error=OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"))
    refused = explain("object s3://b/a", untrusted)
    assert isinstance(refused, StorageError) and "trust the endpoint's certificate authority" in str(refused)
    broken = SSLError(endpoint_url="https://s3.local", error=OSError("EOF occurred in violation of protocol"))
    for passing in (broken, BrokenBodyTlsError("EOF occurred in violation of protocol")):
        assert isinstance(explain("object s3://b/a", passing), StorageUnavailableError)


def test_a_server_that_is_not_there_is_unavailable(s3_bucket: S3Bucket) -> None:
    with run_flaky_server(s3_bucket.server.endpoint_url) as gone:
        store = open_flaky(gone, s3_bucket)
    with pytest.raises(StorageUnavailableError, match="Could not connect"):
        store.head("a")


@pytest.mark.parametrize(
    "action",
    [
        lambda store: [info.key for info in store.list()] == ["a"],
        lambda store: store.head("a").size == len(CONTENT),
        lambda store: store.read_bytes("a") == CONTENT,
        lambda store: store.put_bytes("b", b"1").size == 1,
        lambda store: store.delete("a") is None,
    ],
    ids=["list", "head", "read_bytes", "put_bytes", "delete"],
)
@pytest.mark.parametrize("fault", [SLOW_DOWN, LoseAnswer()], ids=str)
def test_every_call_outlives_four_failures(
    store: ObjectStore, flaky: FlakyServer, action: Callable[[ObjectStore], bool], fault: Fault
) -> None:
    flaky.fail(*[fault] * 4)
    assert action(store)
    assert flaky.pending == 0


@pytest.mark.parametrize("status", [429, 503])
def test_s3_is_left_alone_for_as_long_as_it_asks(
    flaky: FlakyServer, s3_bucket: S3Bucket, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_bucket.put("a", CONTENT)
    store = open_flaky(flaky, s3_bucket, retries=Retries(first_wait_seconds=0.001, longest_wait_seconds=20))
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    flaky.fail(Answer(status, "SlowDown", "7"), Answer(status, "SlowDown", "3600"), SLOW_DOWN)
    assert store.head("a") is not None
    assert waits[:2] == [7, 20] and waits[2] < 1


def test_a_probe_is_one_quick_request(store: ObjectStore, flaky: FlakyServer) -> None:
    store.probe()
    assert len(flaky.requests) == 1 and "max-keys=1" in flaky.requests[0]
    flaky.fail(SLOW_DOWN, Answer(403, "AccessDenied"), Stall())
    for kind in (StorageUnavailableError, StorageError, StorageUnavailableError):
        begun = time.monotonic()
        with pytest.raises(kind) as caught:
            store.probe()
        assert time.monotonic() - begun < 8 and getattr(caught.value, "service", "lake") == "lake"
    assert len(flaky.requests) == 4


def test_a_cut_listing_is_asked_for_again(store: ObjectStore, flaky: FlakyServer) -> None:
    flaky.fail(CutBody(50))
    assert [info.key for info in store.list()] == ["a"]


def test_a_cut_small_object_is_read_again(store: ObjectStore, flaky: FlakyServer) -> None:
    flaky.fail(CutBody(100))
    assert store.read_bytes("a") == CONTENT


def test_a_target_of_an_earlier_download_survives_a_failed_one(
    store: ObjectStore, flaky: FlakyServer, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"complete")
    flaky.fail(*[CutBody(1_500_000)] * 5)
    with pytest.raises(StorageUnavailableError):
        store.download("a", target)
    assert target.read_bytes() == b"complete" and list(tmp_path.iterdir()) == [target]


@pytest.fixture
def large_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(object_store_s3, "S3_PART_BYTES", 5 << 20)
    source = tmp_path / "large"
    source.write_bytes(CONTENT * 4)
    return source


def test_each_part_of_a_large_upload_is_retried_alone(
    store: ObjectStore,
    flaky: FlakyServer,
    s3_bucket: S3Bucket,
    large_source: Path,
) -> None:
    flaky.fail(*[SLOW_DOWN] * 4, PassOn(), *[Reset()] * 4, method="PUT")
    assert store.put_file("large", large_source).size == len(CONTENT) * 4
    assert s3_bucket.get("large") == CONTENT * 4
    assert len([request for request in flaky.requests if request.startswith("PUT")]) == 3 + 8


def test_a_failed_large_upload_leaves_no_object_and_no_parts(
    store: ObjectStore,
    flaky: FlakyServer,
    s3_bucket: S3Bucket,
    large_source: Path,
) -> None:
    flaky.fail(*[SLOW_DOWN] * 5, method="PUT")
    with pytest.raises(StorageUnavailableError):
        store.put_file("large", large_source)
    assert s3_bucket.keys() == ["a"]
    assert "Uploads" not in s3_bucket.server.client().list_multipart_uploads(Bucket=s3_bucket.name)


def test_many_downloads_outlive_throttling(
    store: ObjectStore,
    flaky: FlakyServer,
    s3_bucket: S3Bucket,
    tmp_path: Path,
) -> None:
    for number in range(8):
        s3_bucket.put(f"k{number}", str(number).encode())
    flaky.fail(*[SLOW_DOWN] * 4)
    receipts = download_many(store, [(f"k{number}", tmp_path / str(number)) for number in range(8)])
    assert [(tmp_path / str(number)).read_text() for number in range(8)] == [str(number) for number in range(8)]
    assert len(receipts) == 8 and len(flaky.requests) == 12


def test_every_further_attempt_is_logged_with_its_reason_and_no_secret(
    store: ObjectStore,
    flaky: FlakyServer,
    s3_bucket: S3Bucket,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flaky.fail(SLOW_DOWN)
    with caplog.at_level(logging.INFO):
        store.head("a")
    assert "failed, trying again in 0.0" in caplog.text and "503" in caplog.text
    assert s3_bucket.server.secret_access_key not in caplog.text


def test_waits_grow_from_half_a_second_with_jitter_and_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)

    def fail() -> None:
        raise StorageUnavailableError("s3", found="503")

    retries = Retries(first_wait_seconds=0.5, longest_wait_seconds=3)
    for _ in range(200):
        with pytest.raises(StorageUnavailableError):
            retries.call(fail)
    rounds = [waits[i::4] for i in range(4)]
    for longest, seen in zip([0.5, 1, 2, 3], rounds, strict=True):
        assert 0 <= min(seen) < longest / 4 and longest * 3 / 4 < max(seen) <= longest

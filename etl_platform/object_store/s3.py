"""S3, at AWS or any endpoint, as an object store.

Through boto3 and not obstore: landing keys are other people's, and one key such as `a//b` makes obstore's listing
of everything beside it fail (0.12). Retries are ours (`Retries`), botocore's are off: one policy that also covers
the body of a download, which botocore never retries.
Not here: what an answer of S3 means (`s3_errors.py`). boto3 is imported when the first call is made.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from typing_extensions import override

from etl_platform.errors import EtlError, StorageUnavailableError
from etl_platform.limits import PROBE_SECONDS, S3_PART_BYTES, S3_PARTS, TRANSFER_CHUNK_BYTES
from etl_platform.object_store.transfer import collect, file_errors, receive, weigh
from etl_platform.object_store.types import Downloaded, ObjectInfo, ObjectMissingError, ObjectStore, S3Options
from etl_platform.retries import Retries, asking

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        GetObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
        ListObjectsV2RequestTypeDef,
    )

_T = TypeVar("_T")


class S3ObjectStore(ObjectStore):
    """Objects are the keys of `bucket` below `prefix` (no slash at its ends; may be empty)."""

    def __init__(
        self, bucket: str, prefix: str, options: S3Options, retries: Retries, *, service: str = "object store"
    ) -> None:
        self._bucket, self._options, self._retries, self._service = bucket, options, retries, service
        self._base = f"{prefix}/" if prefix else ""
        self._url = f"s3://{bucket}/{prefix}".rstrip("/")

    def __repr__(self) -> str:
        return f"S3ObjectStore({self._url!r})"

    @property
    @override
    def service(self) -> str:
        return self._service

    @property
    @override
    def url(self) -> str:
        return self._url

    @override
    def uri(self, key: str) -> str:
        return f"{self._url}/{key}"

    @override
    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        request: ListObjectsV2RequestTypeDef = {"Bucket": self._bucket, "Prefix": self._base + prefix}
        if start_after:
            request["StartAfter"] = self._base + start_after
        while True:
            page = self._page(prefix, request)
            for item in page.get("Contents", ()):
                key = item["Key"].removeprefix(self._base)
                if key:  # the placeholder object of the store's own prefix is not an object in it
                    etag, modified = _bare(item.get("ETag")), item["LastModified"]
                    yield ObjectInfo(self.uri(key), key, item["Size"], etag, version=None, last_modified=modified)
            if not page.get("NextContinuationToken"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    @override
    def head(self, key: str) -> ObjectInfo | None:
        try:
            answer = self._ask(key, lambda: self._client.head_object(Bucket=self._bucket, Key=self._base + key))
        except ObjectMissingError:
            return None
        return ObjectInfo(
            uri=self.uri(key),
            key=key,
            size=answer["ContentLength"],
            etag=_bare(answer.get("ETag")),
            version=answer.get("VersionId"),
            last_modified=answer["LastModified"],
        )

    @override
    def download(self, key: str, target: Path, *, version: str | None = None) -> Downloaded:
        def attempt() -> Downloaded:
            answer = self._get(key, version)
            with contextlib.closing(answer["Body"]):
                return receive(self._chunks(key, answer), target, _bare(answer.get("ETag")))

        return self._retries.call(attempt, service=self._service)

    @override
    def digest(self, key: str) -> Downloaded:
        def attempt() -> Downloaded:
            answer = self._get(key, None)
            with contextlib.closing(answer["Body"]):
                return weigh(self._chunks(key, answer), _bare(answer.get("ETag")))

        return self._retries.call(attempt, service=self._service)

    @override
    def obtain(self, key: str, target: Path, *, in_memory: int) -> Downloaded:
        def attempt() -> Downloaded:
            answer = self._get(key, None)
            with contextlib.closing(answer["Body"]):
                chunks, etag = self._chunks(key, answer), _bare(answer.get("ETag"))
                return collect(chunks, etag) if answer["ContentLength"] <= in_memory else receive(chunks, target, etag)

        return self._retries.call(attempt, service=self._service)

    @override
    def read_bytes(self, key: str) -> bytes:
        def attempt() -> bytes:
            answer = self._get(key, None)
            with contextlib.closing(answer["Body"]):
                return b"".join(self._chunks(key, answer))

        return self._retries.call(attempt, service=self._service)

    @override
    def put_file(self, key: str, source: Path, *, settles: bool = True) -> ObjectInfo:
        with asking(self._service), file_errors(f"upload source {source}"), source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return self.put_bytes(key, file.read()) if size <= S3_PART_BYTES else self._put_parts(key, file, size)

    @override
    def put_bytes(self, key: str, data: bytes, *, settles: bool = True) -> ObjectInfo:
        place = self._base + key
        answer = self._ask(key, lambda: self._client.put_object(Bucket=self._bucket, Key=place, Body=data))
        return self._stored(key, len(data), answer.get("ETag"), answer.get("VersionId"))

    @override
    def settle(self, key: str) -> None:
        """What S3 has confirmed lasts."""

    @override
    def delete(self, key: str) -> None:
        with contextlib.suppress(ObjectMissingError):
            self._ask(key, lambda: self._client.delete_object(Bucket=self._bucket, Key=self._base + key))

    @override
    def probe(self) -> None:
        # What every listing needs, so that a store that may not be listed is told, too.
        first: ListObjectsV2RequestTypeDef = {"Bucket": self._bucket, "Prefix": self._base, "MaxKeys": 1}
        with asking(self._service):
            self._once("", lambda: self._hasty_client.list_objects_v2(**first))

    def _put_parts(self, key: str, file: BinaryIO, size: int) -> ObjectInfo:
        place, client = self._base + key, self._client
        begun = self._ask(key, lambda: client.create_multipart_upload(Bucket=self._bucket, Key=place))
        upload = begun["UploadId"]

        def send(number: int, data: bytes) -> CompletedPartTypeDef:
            part = self._ask(
                key,
                lambda: client.upload_part(
                    Bucket=self._bucket, Key=place, UploadId=upload, PartNumber=number, Body=data
                ),
            )
            return {"PartNumber": number, "ETag": part["ETag"]}

        try:
            part_bytes = max(S3_PART_BYTES, -(-size // S3_PARTS))
            count = -(-size // part_bytes)  # counted beforehand: a source that keeps growing must not go on for ever
            parts = [send(number, file.read(part_bytes)) for number in range(1, count + 1)]
            _check_source(file, file.tell(), size)
            answer = self._ask(
                key,
                lambda: client.complete_multipart_upload(
                    Bucket=self._bucket, Key=place, UploadId=upload, MultipartUpload={"Parts": parts}
                ),
            )
        except BaseException:
            # Parts that nobody completes are stored and paid for; one try, the first error matters more.
            with contextlib.suppress(EtlError):
                self._once(key, lambda: client.abort_multipart_upload(Bucket=self._bucket, Key=place, UploadId=upload))
            raise
        return self._stored(key, size, answer.get("ETag"), answer.get("VersionId"))

    def _stored(self, key: str, size: int, etag: str | None, version: str | None) -> ObjectInfo:
        """What was just written. A put does not tell the time S3 gave the object, hence the second request."""
        head = self.head(key)
        if head is None:
            raise ObjectMissingError(
                f"object {self.uri(key)}", found="removed by somebody else right after it was written",
                next_step="find out who deletes there",
            )  # fmt: skip
        return ObjectInfo(self.uri(key), key, size, _bare(etag), version, head.last_modified)

    def _page(self, prefix: str, request: ListObjectsV2RequestTypeDef) -> ListObjectsV2OutputTypeDef:
        return self._ask(prefix, lambda: self._client.list_objects_v2(**request))

    def _get(self, key: str, version: str | None) -> GetObjectOutputTypeDef:
        """One attempt at opening an object; its body is still to be read, and closed."""
        if version is None:
            return self._once(key, lambda: self._client.get_object(Bucket=self._bucket, Key=self._base + key))
        return self._once(
            key, lambda: self._client.get_object(Bucket=self._bucket, Key=self._base + key, VersionId=version)
        )

    def _chunks(self, key: str, answer: GetObjectOutputTypeDef) -> Iterator[bytes]:
        """The body; raises StorageUnavailableError when it breaks off (urllib3 and botocore watch its length)."""
        body = answer["Body"]
        while chunk := self._once(key, lambda: body.read(TRANSFER_CHUNK_BYTES)):
            yield chunk

    def _ask(self, key: str, request: Callable[[], _T]) -> _T:
        return self._retries.call(lambda: self._once(key, request), service=self._service)

    def _once(self, key: str, request: Callable[[], _T]) -> _T:
        from etl_platform.object_store.s3_errors import S3_ERRORS, explain

        try:
            return request()
        except S3_ERRORS as error:
            raise explain(f"object {self.uri(key)}", error) from error

    @cached_property
    def _hasty_client(self) -> S3Client:
        from etl_platform.object_store.s3_client import connect

        half = PROBE_SECONDS / 2
        return connect(self._options.model_copy(update={"connect_timeout_seconds": half, "read_timeout_seconds": half}))

    @cached_property
    def _client(self) -> S3Client:
        from etl_platform.object_store.s3_client import connect

        return connect(self._options)


def _bare(etag: str | None) -> str | None:
    return None if etag is None else etag.strip('"')


def _check_source(source: BinaryIO, sent: int, announced: int) -> None:
    if sent != announced:
        raise StorageUnavailableError(
            f"upload source {source.name}",
            found=f"{sent} bytes",
            expected=f"{announced} bytes, its size when the upload began",
            next_step="run again when nobody writes to it",
        )

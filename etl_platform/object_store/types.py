"""The words of object storage: what a store promises, what it tells of an object, how it is reached.

Belongs here: plain types that need neither a network nor an S3 library. Not here: the implementations
(`folder.py`, `s3.py`), how one is chosen (`open.py`) and asked again (`retries.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from etl_platform.errors import StorageError
from etl_platform.limits import CONNECT_SECONDS, SILENCE_SECONDS


class ObjectMissingError(StorageError):
    """There is no object at that key (any more)."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object. `key` is relative to the store; `etag` changes whenever the content does (no quotes around it).

    `version` is None where the store keeps no versions, and in S3 listings, which do not tell it.
    """

    uri: str
    key: str
    size: int
    etag: str | None
    version: str | None
    last_modified: dt.datetime


@dataclass(frozen=True)
class Downloaded:
    """Receipt of a download: what really arrived, hashed on the way. `content`: the object, where it is in no file."""

    size: int
    sha256: str
    etag: str | None
    content: bytes | None = field(default=None, repr=False)


class ObjectStore(Protocol):
    """A flat map from keys to bytes. Safe to use from several threads; building one does no I/O.

    Every method raises StorageUnavailableError, with the store's `service`, when the store did not answer (`Retries`
    has tried again before) and StorageError when it refused.
    """

    @property
    def service(self) -> str:
        """What people and waiting partitions call it: `lake`, `landing`, `landing institution_x`."""
        ...

    @property
    def url(self) -> str:
        """`file:///abs/path` or `s3://bucket/prefix`; never holds a secret."""
        ...

    def uri(self, key: str) -> str:
        """Where the object is, for people and for the ledger. A `file://` URI is percent-encoded, `s3://` is not."""
        ...

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        """Stream the objects whose key begins with the text `prefix` and sorts after `start_after`, sorted by key."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """The object at `key`, or None."""
        ...

    def download(self, key: str, target: Path, *, version: str | None = None) -> Downloaded:
        """Stream the object to `target`, which appears complete or not at all. Raises ObjectMissingError."""
        ...

    def digest(self, key: str) -> Downloaded:
        """Read the object and keep nothing of it but the receipt. Raises ObjectMissingError."""
        ...

    def obtain(self, key: str, target: Path, *, in_memory: int) -> Downloaded:
        """Like `download`, but an object of at most `in_memory` bytes comes in the receipt and makes no file."""
        ...

    def read_bytes(self, key: str) -> bytes:
        """The whole (small) object. Raises ObjectMissingError."""
        ...

    def put_file(self, key: str, source: Path, *, settles: bool = True) -> ObjectInfo:
        """Store a file under `key`; readers see the old object or the new one. Streams. settles: see `put_bytes`."""
        ...

    def put_bytes(self, key: str, data: bytes, *, settles: bool = True) -> ObjectInfo:
        """Store `data` under `key`; readers see the old object or the new one.

        settles: false leaves it to `settle` that the object is still there after a power cut."""
        ...

    def settle(self, key: str) -> None:
        """The object, and every other one beside it (up to the last slash of the key), outlasts a power cut from now
        on: for many that are put in a row."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens when there is none."""
        ...

    def probe(self) -> None:
        """Ask once, without retries, whether the store answers; an error comes within about PROBE_SECONDS."""
        ...


class S3Options(BaseModel):
    """How to reach S3. Without keys the machine's own credentials chain serves (environment, profile, role)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    endpoint_url: str | None = Field(default=None, description="Any S3-compatible endpoint; empty: AWS.")
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    allow_http: bool = Field(default=False, description="Accept an endpoint without TLS.")
    path_style: bool | None = Field(
        default=None, description="Bucket in the path instead of the host name; default: yes for a custom endpoint."
    )
    connect_timeout_seconds: float = Field(default=CONNECT_SECONDS, gt=0)
    read_timeout_seconds: float = Field(default=SILENCE_SECONDS, gt=0, description="Longest silence on a connection.")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together: give both or neither")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token needs access_key_id and secret_access_key")
        if self.endpoint_url is not None:
            parts = urlsplit(self.endpoint_url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("endpoint_url must look like https://host[:port]")
            if "@" in parts.netloc:
                raise ValueError("endpoint_url must not hold credentials: use access_key_id and secret_access_key")
            if parts.scheme == "http" and not self.allow_http:
                raise ValueError("endpoint_url is http://: use https:// or set allow_http to true")
        return self

"""An S3 server for tests: moto in its own process, so that clients speak the real protocol over a real socket.

Use the fixtures by importing them: `from etl_platform_tests.support.s3 import s3_bucket, s3_server  # noqa: F401`.
However many modules import them, one server serves the test session. Not here: failing servers (`flaky_http.py`).
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# The child ends when its stdin closes, so a killed test process leaves no server behind.
_SERVER_PROGRAM = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""

_bucket_numbers = itertools.count(1)


@dataclass(frozen=True)
class S3Server:
    """A running S3 endpoint with fake credentials."""

    endpoint_url: str
    region: str = "us-east-1"
    access_key_id: str = "AKIATESTACCESSKEY000"
    secret_access_key: str = field(default="test-secret-never-shown", repr=False)

    def client(self) -> S3Client:
        """A boto3 client: an independent eye on what the code under test did."""
        return _client(self)

    def new_bucket(self, *, versioned: bool = False) -> S3Bucket:
        """An empty bucket of its own name."""
        bucket = S3Bucket(self, f"test-bucket-{next(_bucket_numbers)}")
        client = self.client()
        client.create_bucket(Bucket=bucket.name)
        if versioned:
            client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
        return bucket


@dataclass(frozen=True)
class S3Bucket:
    """One bucket of the test server."""

    server: S3Server
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, body: bytes) -> None:
        self.server.client().put_object(Bucket=self.name, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return self.server.client().get_object(Bucket=self.name, Key=key)["Body"].read()

    def keys(self) -> list[str]:
        pages = self.server.client().get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]


@cache
def _client(server: S3Server) -> S3Client:
    import boto3  # half a second that most tests need not pay

    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name=server.region,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
    )


@contextmanager
def run_s3_server() -> Iterator[S3Server]:
    """A server process for the block; its port is free by construction (the kernel chooses it)."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER_PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=hermetic_environment(),
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            ready = process.stdout.readline().split()  # one line once it listens; empty when it died
            if len(ready) != 2:
                raise RuntimeError(f"the S3 test server did not start: exit code {process.wait()}")
            host, port = ready
            yield S3Server(endpoint_url=f"http://{host}:{port}")
        finally:
            process.stdin.close()
            process.terminate()


def hermetic_environment() -> dict[str, str]:
    """This process's environment without anything that leads to a real AWS account."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("AWS_")}
    return {**kept, **_NO_AMBIENT_AWS}


_NO_AMBIENT_AWS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def _forget_ambient_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in _NO_AMBIENT_AWS.items():
        monkeypatch.setenv(name, value)


_SERVER: pytest.StashKey[S3Server] = pytest.StashKey()


@pytest.fixture(scope="session")
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """The session's S3 server. From its first use on, no ambient AWS setting reaches this process."""
    # A fixture imported by several modules is several fixtures to pytest; the stash makes them share one server.
    config: Any = request.config
    if _SERVER not in config.stash:
        monkeypatch = pytest.MonkeyPatch()
        config.add_cleanup(monkeypatch.undo)
        _forget_ambient_aws(monkeypatch)
        running = run_s3_server()
        config.stash[_SERVER] = running.__enter__()
        config.add_cleanup(lambda: running.__exit__(None, None, None))
    server: S3Server = config.stash[_SERVER]
    return server


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> S3Bucket:
    """An empty bucket for one test."""
    return s3_server.new_bucket()

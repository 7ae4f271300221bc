"""What is not the file's fault is not blamed on the file, and what a library does wrong is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from etl_platform.errors import FileRefusedError, StorageError
from etl_platform.readers import Batch, CsvOptions, JsonOptions, ParquetOptions, read, read_file
from etl_platform.readers.csv import reader as csv_reader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "object"
    path.write_bytes(b"a,b\n1,2\n")
    return path


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(*_: object, **__: object) -> Iterator[Batch]:
        raise error

    monkeypatch.setattr(csv_reader, "_parse", broken)


def test_panic_of_a_library_refuses_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, pl.exceptions.PanicException("index out of bounds"))
    with pytest.raises(FileRefusedError) as caught:
        list(read_file(path, subject="s", options=CsvOptions()))
    assert caught.value.rule == "file_is_readable"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_stopping_the_process_is_not_caught(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    fail_with(monkeypatch, error())
    with pytest.raises(error):
        list(read_file(path, subject="s", options=CsvOptions()))


@pytest.mark.parametrize("options", [CsvOptions(), JsonOptions(), ParquetOptions()])
def test_missing_local_copy_is_a_storage_error(tmp_path: Path, options: CsvOptions) -> None:
    with pytest.raises(StorageError, match="scratch disk"):
        list(read_file(tmp_path / "gone", subject="s", options=options))


@pytest.mark.parametrize("options", [CsvOptions(), ParquetOptions()])
def test_failing_disk_is_a_storage_error(path: Path, monkeypatch: pytest.MonkeyPatch, options: CsvOptions) -> None:
    def failing(*_: object, **__: object) -> Iterator[Batch]:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(read, "sniff", failing)
    with pytest.raises(StorageError, match="Input/output error"):
        list(read_file(path, subject="s", options=options))


def test_error_of_the_caller_passes_through(path: Path) -> None:
    batches = read_file(path, subject="s", options=CsvOptions())
    next(batches)
    assert list(batches) == []

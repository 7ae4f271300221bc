"""What the tests of the readers share: read bytes as a file, and look at everything that came out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl_platform.errors import FileRefusedError
from etl_platform.readers import Batch, FormatOptions, ReadLimits, archive, read_file
from etl_platform.readers.csv import split as csv_split
from etl_platform.readers.json import lines as json_lines

SUBJECT = "institution_a prices 2025-01-15 key institution_a/prices/bars"


@dataclass(frozen=True)
class Outcome:
    """The whole file: rows, their numbers and raw texts, and the rejects."""

    columns: pl.DataFrame
    source_rows: list[int]
    raw: list[str]
    rejects: pl.DataFrame
    heights: list[int]
    bare: pl.DataFrame

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return self.columns.rows()

    @property
    def verdicts(self) -> list[tuple[int, str]]:
        return self.rejects.select("_source_row", "rule").rows()


def read(
    content: bytes,
    options: FormatOptions,
    *,
    limits: ReadLimits | None = None,
    batch_rows: int = 100_000,
    expected_columns: Sequence[str] = (),
) -> Outcome:
    """Read content through a real file whose name says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "object"
        path.write_bytes(content)
        batches = list(
            read_file(
                path,
                subject=SUBJECT,
                options=options,
                limits=limits or ReadLimits(),
                batch_rows=batch_rows,
                expected_columns=expected_columns,
            )
        )
    return gather(batches)


def gather(batches: Sequence[Batch]) -> Outcome:
    """All batches as one; each must count its own rows."""
    for batch in batches:
        assert batch.columns.height == len(batch.source_rows)
        assert batch.source_rows.dtype == pl.Int64
    raw = [
        text
        for batch in batches
        for text in batch.raw(pl.Series(range(batch.columns.height), dtype=pl.UInt32)).to_list()
    ]
    return Outcome(
        columns=pl.concat([batch.columns for batch in batches], how="diagonal"),
        source_rows=[row for batch in batches for row in batch.source_rows],
        raw=raw,
        rejects=pl.concat([batch.rejects for batch in batches]),
        heights=[batch.columns.height for batch in batches],
        bare=pl.concat([pl.DataFrame(batch.bare) for batch in batches], how="diagonal"),
    )


def refusal(content: bytes, options: FormatOptions, *, limits: ReadLimits | None = None) -> FileRefusedError:
    """The error with which the file is refused; it always names the file, what was found, expected, and to do."""
    with pytest.raises(FileRefusedError) as caught:
        read(content, options, limits=limits)
    error = caught.value
    assert error.subject == SUBJECT and error.found and error.expected and error.next_step
    return error


@contextmanager
def small_blocks(size: int) -> Iterator[None]:
    """Cut files into tiny pieces, so that every record meets a block boundary."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "UNPACKED_CHUNK_BYTES", size)
        patch.setattr(csv_split, "CSV_BLOCK_BYTES", size)
        patch.setattr(json_lines, "JSON_BLOCK_BYTES", size)
        yield

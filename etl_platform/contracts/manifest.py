"""The bronze manifest, the same for every dataset: which landing objects a partition holds, byte for byte."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TypedDict, cast

import polars as pl

from etl_platform.contracts.contract import PARTITION_COLUMNS, UTC_MICROSECONDS
from etl_platform.contracts.table import Column, Table

COLUMNS: tuple[Column, ...] = (
    Column("key", pl.String(), False, "Key of the object under the landing root."),
    Column("uri", pl.String(), False, "Where the object was seen last."),
    Column("etag", pl.String(), True, "Entity tag as the landing store gave it."),
    Column("version", pl.String(), True, "Version of the object, where the store keeps versions."),
    Column("size", pl.Int64(), False, "Size in bytes."),
    Column("sha256", pl.String(), False, "SHA-256 of the bytes; names the immutable copy."),
    Column("format", pl.String(), False, "Format as sniffed from the content."),
    Column("compression", pl.String(), False, "Compression as sniffed from the content (plain, gzip, zstd, zip)."),
    Column("last_modified", UTC_MICROSECONDS, False, "Last modification as the landing store gave it (UTC)."),
    Column("delivery", pl.Int64(), False, "Order of delivery inside the partition, from 1; a later one wins."),
    Column("is_current", pl.Boolean(), False, "False once its key was overwritten, or the object was withdrawn."),
    Column("object", pl.String(), False, "Lake key of the immutable copy."),
)


class ListedRow(TypedDict):
    """What a listing says of an object, as columns of the manifest."""

    key: str
    uri: str
    etag: str | None
    version: str | None
    size: int
    last_modified: dt.datetime
    business_date: dt.date
    institution: str | None


class ManifestRow(ListedRow):
    """One row of a manifest."""

    sha256: str
    format: str
    compression: str
    delivery: int
    is_current: bool
    object: str


def rows_of(manifest: pl.DataFrame) -> list[ManifestRow]:
    """The rows of a manifest, in its order."""
    return cast("list[ManifestRow]", manifest.rows(named=True))


@cache
def manifest_table(dataset: str) -> Table:
    """The bronze table of `dataset`."""
    return Table(
        layer="bronze",
        name=dataset,
        description=f"Manifest of the {dataset} files received for a partition; each is kept unchanged in the lake.",
        columns=(*COLUMNS, *PARTITION_COLUMNS),
        key=("key", "sha256"),
    )

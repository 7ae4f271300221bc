"""Bronze: immutable copies of landing objects in the lake, and the manifest that names them.

A copy is named by its SHA-256 under its institution's own prefix, so a second copy of the same bytes is the same
object and a copy is never overwritten by other bytes. The manifest remembers every object that a partition ever
received, by its key and content: an object deleted from landing stays part of its partition, an overwritten or
withdrawn one stays on record as not current. Where an object was seen last is information, and changes nothing.
Not here: which rows of a manifest count today (`placed.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey
from etl_platform.ledger.records import LedgerObject
from etl_platform.readers import sniff
from etl_platform.resources.landing import Routed
from etl_platform.resources.object_store import Downloaded, ObjectMissingError, ObjectStore, download_many
from etl_platform.resources.placed import Past, merged


@dataclass(frozen=True)
class Copied:
    """What one bronze step did. gone: keys listed but deleted before they could be copied."""

    manifest: pl.DataFrame
    new: int
    reused: int
    gone: tuple[str, ...]
    bytes_copied: int


class BronzeStore:
    """Copies in the lake. `concurrency` objects are fetched at once; scratch files are removed at the end."""

    def __init__(self, lake: ObjectStore, scratch: Path, concurrency: int = 5) -> None:
        self.lake = lake
        self._scratch = scratch
        self._concurrency = concurrency

    def copy(
        self,
        landing: ObjectStore,
        objects: Sequence[Routed],
        previous: pl.DataFrame,
        dataset: str,
        partition: PartitionKey,
        on_record: Sequence[LedgerObject] = (),
        excluded: frozenset[tuple[str, str]] = frozenset(),
    ) -> Copied:
        """Copy what is new among `objects`; the manifest is `previous` (the partition's last) brought up to date.

        on_record: what the ledger knows of the partition's objects. What it knows by its bytes is not copied again,
        whatever identity a move or a restore has given it.
        """
        past = Past(previous, on_record)
        listed = [_described(found, partition) for found in objects]
        kept = [row for one in listed if (row := past.kept(one)) is not None]
        fresh = [(found, one) for found, one in zip(objects, listed, strict=True) if past.kept(one) is None]
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="bronze-") as folder:
            copied, gone = self._fetch(landing, fresh, dataset, partition, Path(folder))
        manifest = merged(previous, kept, copied, dataset, on_record, excluded)
        return Copied(manifest, len(copied), len(kept), gone, sum(int(row["size"]) for row in copied))

    def _fetch(
        self,
        landing: ObjectStore,
        fresh: Sequence[tuple[Routed, dict[str, Any]]],
        dataset: str,
        partition: PartitionKey,
        folder: Path,
    ) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
        targets = {found.info.key: folder / f"{number:06}" for number, (found, _) in enumerate(fresh)}
        receipts, gone = _download(landing, targets, self._concurrency)
        rows = []
        for found, row in fresh:
            receipt = receipts.get(found.info.key)
            if receipt is None:
                continue
            path = targets[found.info.key]
            sniffed = sniff(path)
            name = object_key(dataset, partition, receipt.sha256)
            if self.lake.head(name) is None:
                self.lake.put_file(name, path)
            rows.append(
                {
                    **row,
                    # The object may have been overwritten since it was listed: what arrived is what counts.
                    "etag": receipt.etag or row["etag"],
                    "size": receipt.size,
                    "sha256": receipt.sha256,
                    "format": sniffed.format,
                    "compression": sniffed.compression,
                    "object": name,
                }
            )
            path.unlink()
        return rows, gone

    def fetch(self, manifest: pl.DataFrame, folder: Path) -> list[tuple[dict[str, Any], Path]]:
        """The current copies of a manifest on local disk, in order of delivery, with their manifest rows."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = list(manifest.filter("is_current").sort("delivery").iter_rows(named=True))
        names = {str(row["object"]): folder / str(row["sha256"]) for row in rows}
        download_many(self.lake, list(names.items()), concurrency=self._concurrency)
        return [(row, names[str(row["object"])]) for row in rows]


def object_key(dataset: str, partition: PartitionKey, sha256: str) -> str:
    """Lake key of an immutable copy."""
    return f"bronze_objects/{dataset}/institution={partition.institution}/{sha256[:2]}/{sha256}"


def _download(
    landing: ObjectStore, targets: Mapping[str, Path], concurrency: int
) -> tuple[dict[str, Downloaded], tuple[str, ...]]:
    """Receipts by key, and the keys that were deleted since they were listed (nobody's fault, nothing to load)."""
    wanted = dict(targets)
    gone: list[str] = []
    receipts: dict[str, Downloaded] = {}
    while wanted:
        try:
            download_many(landing, list(wanted.items()), concurrency=concurrency, progress=receipts.__setitem__)
            break
        except ObjectMissingError:
            missing = [key for key in wanted if key not in receipts and landing.head(key) is None]
            if not missing:
                raise
            gone += missing
            wanted = {key: path for key, path in wanted.items() if key not in receipts and key not in missing}
    return receipts, tuple(gone)


def _described(found: Routed, partition: PartitionKey) -> dict[str, Any]:
    info = found.info
    return {
        "key": info.key,
        "uri": info.uri,
        "etag": info.etag,
        "version": info.version,
        "size": info.size,
        "last_modified": info.last_modified,
        BUSINESS_DATE: partition.business_date,
        INSTITUTION: partition.institution,
    }

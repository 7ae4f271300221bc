"""Bronze: immutable copies of landing objects in the lake, and the manifest that names them.

A copy is named by its SHA-256 under its institution's own prefix, so a second copy of the same bytes is the same
object and a copy is never overwritten by other bytes. The manifest remembers every object that a partition ever
received, by its key and content: an object deleted from landing stays part of its partition, an overwritten or
withdrawn one stays on record as not current. Where an object was seen last is information, and changes nothing.
Not here: which rows of a manifest count today (`placed.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from etl_platform.contracts.manifest import ListedRow, ManifestRow, rows_of
from etl_platform.contracts.table import PartitionKey
from etl_platform.landing.placed import Past, merged
from etl_platform.landing.zone import Routed
from etl_platform.ledger.records import LedgerObject
from etl_platform.limits import COPIES_HELD_BYTES, COPY_HELD_BYTES, DOWNLOADS_AT_ONCE
from etl_platform.object_store.open import ObjectMissingError, ObjectStore, at_once
from etl_platform.readers import sniff


@dataclass(frozen=True)
class Copied:
    """What one bronze step did. gone: keys listed but deleted before they could be copied."""

    manifest: pl.DataFrame
    new: int
    gone: tuple[str, ...]
    bytes_copied: int


class Fetched(NamedTuple):
    """A copy of a manifest row. content: its bytes, where they are in memory, and not at `path`."""

    row: ManifestRow
    path: Path
    content: bytes | None


class BronzeStore:
    """Copies in the lake. `concurrency` objects are fetched at once; scratch files are removed at the end."""

    def __init__(self, lake: ObjectStore, scratch: Path, concurrency: int = DOWNLOADS_AT_ONCE) -> None:
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
        return Copied(manifest, len(copied), gone, sum(row["size"] for row in copied))

    def _fetch(
        self,
        landing: ObjectStore,
        fresh: Sequence[tuple[Routed, ListedRow]],
        dataset: str,
        partition: PartitionKey,
        folder: Path,
    ) -> tuple[list[ManifestRow], tuple[str, ...]]:
        def fetch(numbered: tuple[int, tuple[Routed, ListedRow]]) -> ManifestRow | None:
            number, (found, row) = numbered
            return self._copied(landing, found, row, partial(object_key, dataset, partition), folder / f"{number:06}")

        rows = at_once(fetch, list(enumerate(fresh)), self._concurrency)
        copied = [row for row in rows if row is not None]
        # Those that were there already, too: whoever put them may have ended before it settled them.
        folders = {name.rpartition("/")[0]: name for name in (row["object"] for row in copied)}
        at_once(self.lake.settle, list(folders.values()), self._concurrency)
        return copied, tuple(found.info.key for (found, _), row in zip(fresh, rows, strict=True) if row is None)

    def _copied(
        self,
        landing: ObjectStore,
        found: Routed,
        row: ListedRow,
        key_of: Callable[[str], str],
        scratch: Path,
    ) -> ManifestRow | None:
        """The manifest row of an object, whose copy is in the lake; None where it was deleted since it was listed:
        nobody's fault, nothing to load."""
        try:
            receipt = landing.obtain(found.info.key, scratch, in_memory=COPY_HELD_BYTES)
        except ObjectMissingError:
            if landing.head(found.info.key) is None:
                return None
            raise
        sniffed = sniff(scratch, receipt.content)
        name = key_of(receipt.sha256)
        if self.lake.head(name) is None:
            if receipt.content is None:
                self.lake.put_file(name, scratch, settles=False)
            else:
                self.lake.put_bytes(name, receipt.content, settles=False)
        if receipt.content is None:
            scratch.unlink()
        return {
            **row,
            # The object may have been overwritten since it was listed: what arrived is what counts.
            "etag": receipt.etag or row["etag"],
            "size": receipt.size,
            "sha256": receipt.sha256,
            "format": sniffed.format,
            "compression": sniffed.compression,
            "object": name,
            # Both as the manifest of all ranks and places it (`merged`).
            "delivery": 0,
            "is_current": True,
        }

    def fetch(self, manifest: pl.DataFrame, folder: Path) -> list[Fetched]:
        """The current copies of a manifest, in order of delivery: small plain text in memory, as much as there is room
        for, all else on local disk."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = rows_of(manifest.filter("is_current").sort("delivery"))
        room = COPIES_HELD_BYTES
        held: set[str] = set()
        for row in rows:
            if row["object"] not in held and _is_held(row) and row["size"] <= room:
                held.add(row["object"])
                room -= row["size"]

        def obtain(name: str) -> bytes | None:
            in_memory = COPY_HELD_BYTES if name in held else -1
            return self.lake.obtain(name, paths[name], in_memory=in_memory).content

        paths = {row["object"]: folder / row["sha256"] for row in rows}
        contents = dict(zip(paths, at_once(obtain, list(paths), self._concurrency), strict=True))
        return [Fetched(row, paths[row["object"]], contents[row["object"]]) for row in rows]


def _is_held(row: ManifestRow) -> bool:
    """Whether the readers can do without a file of it: those of Parquet and of archives begin at its end."""
    return row["format"] in ("csv", "json") and row["compression"] == "none" and row["size"] <= COPY_HELD_BYTES


def object_key(dataset: str, partition: PartitionKey, sha256: str) -> str:
    """Lake key of an immutable copy."""
    return f"bronze_objects/{dataset}/institution={partition.institution}/{sha256[:2]}/{sha256}"


def _described(found: Routed, partition: PartitionKey) -> ListedRow:
    info = found.info
    return {
        "key": info.key,
        "uri": info.uri,
        "etag": info.etag,
        "version": info.version,
        "size": info.size,
        "last_modified": info.last_modified,
        "business_date": partition.business_date,
        "institution": partition.institution,
    }

"""What a dataset's write mode means for a partition. Every mode writes by replace, so a rerun gives the same rows.

`replace`: the rows of the current files. `append`: the rows of every file content that was ever published, also of
those that the sender has overwritten since; bronze keeps them all. `fail`: rows that were published are final.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.manifest import ManifestRow
from etl_platform.delivery import Delivery
from etl_platform.errors import DeliveryRefusedError
from etl_platform.landing.placed import content, contributing, identity
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import LedgerObject
from etl_platform.stores.reading import read_frame
from etl_platform.stores.store import TableStore
from etl_platform.transforms.silver import Silver

_IDENTITY = ["_source_file", "_source_row", "_row_hash"]


def contributing_files(
    manifest: pl.DataFrame, contract: Contract, excluded: frozenset[tuple[str, str]] = frozenset()
) -> pl.DataFrame:
    """The manifest with those files current whose rows belong to the partition. excluded: contents that the ledger has
    as withdrawn, as nobody's by now, or as overwritten before their rows were ever published."""
    return contributing(manifest, excluded, overwritten_too=contract.write_mode == "append")


def stop_overwriting(
    delivery: Delivery,
    contract: Contract,
    store: TableStore,
    result: Silver,
    ledger: Ledger,
    files: Sequence[ManifestRow],
) -> None:
    """In mode `fail`: refuse to change a partition whose rows were published. Raises
    DeliveryRefusedError.

    The very same rows again are no change. What a run stored that ended before it had published is not final. What
    people withdraw leaves, and comes back when they undo it. files: manifest rows of what `result` was read from.
    """
    if contract.write_mode != "fail" or not ledger.was_published(delivery):
        return
    stored = read_frame(store, contract.silver, [delivery.partition], _IDENTITY)
    if stored.is_empty():
        return
    found = result.silver.select(_IDENTITY).collect(engine="streaming")
    if found.sort(_IDENTITY).equals(stored.sort(_IDENTITY)):
        return
    on_record = ledger.objects(partition=delivery)
    if _are_final_but_for_withdrawals(files, on_record) and _are_read_alike(found, stored):
        return
    raise DeliveryRefusedError(
        str(delivery),
        found=f"{stored.height} rows already stored and a run that would replace them by {found.height}",
        expected="an empty partition (`write_mode: fail`); nothing was written, the stored rows stay",
        next_step="ask the sender why files came again; leave a new file out with `etl-platform withdraw KEY --reason "
        "TEXT`, or accept the new files: declare `write_mode: append` or `replace` for the dataset",
        facts={"rows_stored": stored.height, "rows_new": found.height},
    )


def _are_final_but_for_withdrawals(files: Sequence[ManifestRow], on_record: Sequence[LedgerObject]) -> bool:
    """Whether the run has read exactly the contents that were ever published, without those that are withdrawn."""
    published = [found for found in on_record if found.is_published]
    read = {name for row in files for name in (content(row), (row["key"], identity(row)))}
    was_read = [(found.key, found.sha256) in read or (found.key, found.identity) in read for found in published]
    are_all_there = all(is_there or found.is_withdrawn for is_there, found in zip(was_read, published, strict=True))
    known = {(found.key, name) for found in published for name in (found.sha256, found.identity)}
    return are_all_there and all(content(row) in known or (row["key"], identity(row)) in known for row in files)


def _are_read_alike(found: pl.DataFrame, stored: pl.DataFrame) -> bool:
    """Whether rows that were and are there say the same. Without a file, a row that one of its rows had replaced is
    there again: that is no other row."""
    both = found.join(stored, on=_IDENTITY[:2], suffix="_before")
    return both.filter(pl.col("_row_hash") != pl.col("_row_hash_before")).is_empty()

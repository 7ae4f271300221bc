"""What a dataset's write mode means for a partition. Every mode writes by replace, so a rerun gives the same rows.

`replace`: the rows of the current files. `append`: the rows of every file content that was ever published, also of
those that the sender has overwritten since; bronze keeps them all. `fail`: rows that were published are final.
"""

from __future__ import annotations

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.attempt import dataset_partition
from etl_platform.io_managers.reading import read_frame
from etl_platform.io_managers.store import TableStore
from etl_platform.ledger.ledger import Ledger
from etl_platform.resources.placed import contributing
from etl_platform.transforms.silver import Silver

_IDENTITY = ["_source_file", "_source_row", "_row_hash"]


def contributing_files(
    manifest: pl.DataFrame, contract: Contract, excluded: frozenset[tuple[str, str]] = frozenset()
) -> pl.DataFrame:
    """The manifest with those files current whose rows belong to the partition. excluded: contents that the ledger has
    as withdrawn, as nobody's by now, or as overwritten before their rows were ever published."""
    return contributing(manifest, excluded, overwritten_too=contract.write_mode == "append")


def stop_overwriting(
    store: TableStore, contract: Contract, partition: PartitionKey, result: Silver, ledger: Ledger
) -> None:
    """In mode `fail`: refuse to change a partition whose rows were published. Raises dg.Failure, not retried.

    The very same rows again are no change. What a run stored that ended before it had published is not final.
    """
    if contract.write_mode != "fail" or not ledger.was_published(dataset_partition(contract.dataset, partition)):
        return
    stored = read_frame(store, contract.silver, [partition], _IDENTITY)
    if stored.is_empty():
        return
    found = result.silver.select(_IDENTITY).collect(engine="streaming")
    if found.sort(_IDENTITY).equals(stored.sort(_IDENTITY)):
        return
    raise dg.Failure(
        description=(
            f"{partition.institution} {contract.dataset} {partition.business_date}: found {stored.height} rows already "
            f"stored and a run that would replace them by {found.height}, expected an empty partition "
            "(`write_mode: fail`); nothing was written, the stored rows stay; next step: ask the sender why files came "
            "again; to accept the new files, declare `write_mode: append` or `replace` for the dataset"
        ),
        metadata={"rows_stored": stored.height, "rows_new": found.height},
        allow_retries=False,
    )

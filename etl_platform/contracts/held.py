"""The table of rows that another date holds: which they were, and where they are."""

from __future__ import annotations

import polars as pl

from etl_platform.contracts.contract import HOUSEKEEPING, PARTITION_COLUMNS, Contract
from etl_platform.contracts.table import Column, Table

HELD_BY = "held_by"
_LINEAGE = ("_source_file", "_source_row", "_row_hash")


def overlap_columns(contract: Contract) -> tuple[str, ...]:
    """What tells whether two dates hold the same: key, event time, and the hash of the values."""
    return tuple(dict.fromkeys((*contract.key, contract.event_time or "", "_row_hash")))


def held_table(contract: Contract) -> Table:
    """Of a dataset whose key lives once (`Contract.lives_once`): the rows of a delivery that are not in its silver
    because the delivery of another date holds their key."""
    own = {column.name: column for column in (*contract.columns, *HOUSEKEEPING)}
    names = dict.fromkeys((*overlap_columns(contract), *_LINEAGE))
    return Table(
        layer="held",
        name=contract.dataset,
        description=f"Rows of {contract.dataset} counted as duplicates because another date holds their key.",
        columns=(
            *(own[name] for name in names),
            Column(HELD_BY, pl.Date(), False, "Business date whose delivery holds the key."),
            *PARTITION_COLUMNS,
        ),
    )

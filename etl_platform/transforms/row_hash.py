"""`_row_hash`: a stable fingerprint of a row's contract columns.

XXH3-64 (seed 0) of the canonical text of the contract's columns in contract order, joined by U+001F, stored as the
signed integer of the same 64 bits. Canonical text: decimals with all their decimals, integers in base 10, floats as
shortest round-trip text (-0.0 as 0.0), timestamps as microseconds since 1970-01-01 UTC, dates as ISO 8601, booleans
`true`/`false`, null as U+0000, text as it is with U+001F written as U+0000 U+0001. Accepted text never holds U+0000, so
that two rows have the same text only if they are equal. Stable across versions and machines: two rows with equal
contract columns have equal hashes, whatever file they came from.
"""

from __future__ import annotations

import polars as pl
import polars_hash as plh

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.table import Column
from etl_platform.transforms.per_contract import once_per_contract

SEPARATOR, NULL, ESCAPED_SEPARATOR = "\x1f", "\x00", "\x00\x01"


@once_per_contract
def row_hash(contract: Contract) -> pl.Expr:
    """Expression giving `_row_hash` (Int64) over a frame with the contract's columns."""
    text = pl.concat_str([_canonical(c).fill_null(NULL) for c in contract.columns], separator=SEPARATOR)
    hashed: pl.Expr = plh.concat_str(text).nchash.xxh3_64()
    return hashed.reinterpret(signed=True).alias("_row_hash")


def _canonical(column: Column) -> pl.Expr:
    if isinstance(column.dtype, pl.Datetime):
        return pl.col(column.name).dt.timestamp("us").cast(pl.String)
    if isinstance(column.dtype, pl.Float64):
        value = pl.col(column.name)
        return pl.when(value == 0).then(pl.lit("0.0")).otherwise(value.cast(pl.String))
    if isinstance(column.dtype, pl.String):
        return pl.col(column.name).str.replace_all(SEPARATOR, ESCAPED_SEPARATOR, literal=True)
    return pl.col(column.name).cast(pl.String)

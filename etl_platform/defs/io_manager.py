"""The one IO manager: Dagster's context, partitions, types and metadata over any `TableStore`.

Belongs here: everything about Dagster. Not here: how rows are stored, and frames (`stores/`).

Metadata keys that assets may set: `preview` (False on an asset: no row of it is shown in the UI) and
`columns` (list of names on a `dg.AssetIn`: only these are read).
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.defs.telling import stored_metadata
from etl_platform.errors import ConfigurationError, UnknownNameError
from etl_platform.pipeline.facts import store_rows
from etl_platform.stores.frames import from_batches, to_batches
from etl_platform.stores.store import TableStore

DATE_DIMENSION, INSTITUTION_DIMENSION = "date", "institution"


class TableIOManager(dg.IOManager):
    """Stores and loads the tables of assets. `table_of` gives the table that an asset's rows belong to.

    layer: of the assets, where it is another one than the tables' own (`warehouse` shows silver and gold tables).
    """

    def __init__(
        self, store: TableStore, table_of: Callable[[dg.AssetKey], Table], *, layer: str | None = None
    ) -> None:
        self.store = store
        self._layer = layer
        self._table_of = table_of

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Replace the context's partitions by the rows of `obj`, and tell Dagster what was written."""
        subject = f"asset {context.asset_key.to_user_string()}"
        table = self._table_of(context.asset_key)
        batches = to_batches(obj, table, subject)
        if not context.has_asset_partitions:
            raise _unpartitioned(subject, table)
        partitions = partition_keys(context.asset_partition_keys, context.asset_partitions_def, subject)
        stored = store_rows(
            self.store,
            table,
            partitions,
            batches,
            context.run_id,
            layer=self._layer,
            shows_preview=_shows_preview(context, subject),
        )
        context.add_output_metadata(stored_metadata(stored))

    def load_input(self, context: dg.InputContext) -> Any:
        """The rows of the mapped partitions, as the type that the parameter is annotated with."""
        asset = f"asset {context.asset_key.to_user_string()}"
        subject = f"input {context.name} from {asset}" if context.has_input_name else asset
        table = self._table_of(context.asset_key)
        if not context.has_asset_partitions:
            raise _unpartitioned(subject, table)
        partitions = partition_keys(context.asset_partition_keys, context.asset_partitions_def, subject)
        columns = _wanted_columns(context, table, subject)

        def read(names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
            return self.store.read(table, partitions, names)

        return from_batches(context.dagster_type.typing_type, table, columns, read, subject)


def partition_keys(
    keys: Sequence[str], partitions_def: dg.PartitionsDefinition[Any], subject: str
) -> list[PartitionKey]:
    """Dagster's keys, which come in no fixed order, as sorted `PartitionKey`s. Raises ConfigurationError."""
    return sorted(_partition_key(key, partitions_def, subject) for key in keys)


def _partition_key(key: str, partitions_def: dg.PartitionsDefinition[Any], subject: str) -> PartitionKey:
    institution = None
    day = str(key)
    if isinstance(partitions_def, dg.MultiPartitionsDefinition):
        parts = partitions_def.get_partition_key_from_str(key).keys_by_dimension
        if set(parts) != {DATE_DIMENSION, INSTITUTION_DIMENSION}:
            raise ConfigurationError(
                subject,
                found=f"partition dimensions {', '.join(sorted(parts))}",
                expected=f"{DATE_DIMENSION} and {INSTITUTION_DIMENSION}",
            )
        day, institution = parts[DATE_DIMENSION], parts[INSTITUTION_DIMENSION]
    try:
        return PartitionKey(dt.date.fromisoformat(day), institution)
    except ValueError:
        raise ConfigurationError(
            f"{subject} partition {key!r}", found=f"{day!r}", expected="a date such as 2025-01-15"
        ) from None


def _unpartitioned(subject: str, table: Table) -> ConfigurationError:
    return ConfigurationError(
        subject,
        found="no partitions",
        expected=" x ".join(table.partition_columns),
        next_step=f"give the asset of table {table.layer}/{table.name} its partitions_def",
    )


def _shows_preview(context: dg.OutputContext, subject: str) -> bool:
    value = (context.definition_metadata or {}).get("preview", True)
    if isinstance(value, dg.MetadataValue):
        value = value.value
    if not isinstance(value, bool):
        raise ConfigurationError(f"{subject} metadata preview", found=repr(value), expected="True or False")
    return value


def _wanted_columns(context: dg.InputContext, table: Table, subject: str) -> list[str] | None:
    value = (context.definition_metadata or {}).get("columns")
    if isinstance(value, dg.MetadataValue):
        value = value.value
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ConfigurationError(f"{subject} metadata columns", found=repr(value), expected="a list of column names")
    known = table.arrow_schema.names
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3) or known
            raise UnknownNameError(
                f"{subject} metadata columns {name!r}", found="no such column", expected=" or ".join(near)
            )
    return list(dict.fromkeys(value))

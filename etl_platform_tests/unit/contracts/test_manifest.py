"""Manifest rows are typed as their table is."""

from __future__ import annotations

from typing import get_type_hints

import polars as pl

from etl_platform.contracts.manifest import ManifestRow, manifest_table, rows_of


def test_a_row_has_the_columns_of_the_table_and_their_types() -> None:
    table = manifest_table("prices")
    hints = get_type_hints(ManifestRow)
    assert set(hints) == set(table.polars_schema.names())
    for column in table.columns:
        python = column.dtype.to_python()
        assert hints[column.name] in (python, python | None), column.name
        # Of tables across institutions alone an institution is none, which a manifest never is.
        assert (hints[column.name] == python) is (not column.nullable) or column.name == "institution"


def test_the_rows_of_a_manifest_are_its_own() -> None:
    empty = manifest_table("prices").empty()
    assert rows_of(empty) == []
    row = dict.fromkeys(empty.columns) | {"key": "a", "size": 3}
    assert rows_of(pl.DataFrame([row], schema=empty.schema))[0]["size"] == 3

"""The embedded warehouse as a resource of `dagster-duckdb`, which only reads.

Belongs here: what keeps a query of somebody else from harming a load. Not here: whether there is such a resource
(`library_resources.py`), the file and its lock (`stores/duckdb/file.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_duckdb import DuckDBResource

from etl_platform.limits import DUCKDB_WAIT_SECONDS
from etl_platform.settings import Settings
from etl_platform.stores.duckdb.file import DuckDBFile

if TYPE_CHECKING:
    import duckdb


class WarehouseDuckDB(DuckDBResource):
    """The DuckDB warehouse, read only. `with duckdb.get_connection() as connection:` waits for its turn. Loads wait
    while a connection is open: keep it for seconds."""

    # The library's own opens for writing, knows no lock, and stays open when something is raised in the block.
    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that cannot write. Raises StorageUnavailableError when others keep the file too long."""
        with DuckDBFile(Path(self.database), DUCKDB_WAIT_SECONDS).reading(self.connection_config) as connection:
            yield connection


def build_duckdb(settings: Settings) -> WarehouseDuckDB:
    """The file of the settings, which need not be there yet."""
    return WarehouseDuckDB(database=str(settings.duckdb_file), connection_config={"access_mode": "READ_ONLY"})

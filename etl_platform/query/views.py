"""An in-memory DuckDB whose views read the lake's objects, each named one by one: no pattern is ever matched.

A view has the columns of today's contract; one that an older object lacks is null. Objects in a folder are read by
DuckDB itself, those in S3 by Arrow (DuckDB's own S3 is an extension, which is fetched from the internet).
Not here: which objects (`objects.py`).
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from etl_platform.contracts.ddl import sql_type, text_literal
from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, Column, Table
from etl_platform.object_store.folder import FolderObjectStore
from etl_platform.object_store.types import S3Options
from etl_platform.query.objects import Found, View

if TYPE_CHECKING:
    import duckdb
    from pyarrow import fs

NOT_LISTED = "the objects of this view were not looked up"
"""What a view says whose objects nobody has listed: no answer is given as if there were none."""
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    # Parts of an object that has been replaced must not be remembered.
    "enable_external_file_cache": "false",
}
_PATH = "_lake_path"
_ENDING = "2025-01-15/data.parquet"
"""How the path of every object ends, behind `date=`."""
_PATTERN_SIGNS = set("*?[")


def connect(
    views: Collection[View], shown: Mapping[View, Sequence[Found]], source: ViewSource
) -> duckdb.DuckDBPyConnection:
    """All `views`, each over the objects `shown` of it; those that are not among them only tell their columns."""
    import duckdb

    connection = duckdb.connect(":memory:", config=_CONFIG)
    try:
        _make(connection, views, shown, source)
    except BaseException:  # whatever ends it, nobody would close what nobody has got
        connection.close()
        raise
    return connection


def _make(
    connection: duckdb.DuckDBPyConnection,
    views: Collection[View],
    shown: Mapping[View, Sequence[Found]],
    source: ViewSource,
) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    # DuckDB's own choice is a folder below the present one. It makes it, and removes it, when memory is short.
    spill = Path(tempfile.gettempdir()) / f"etl-query-{uuid.uuid4().hex}"
    connection.execute(f"SET temp_directory = {text_literal(str(spill))}")
    for schema in sorted({view.schema for view in views}):
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema, 'duckdb')}")
    for number, view in enumerate(views):
        found = shown.get(view)
        if found is None:
            rows = _no_rows(view.table, f"error({text_literal(NOT_LISTED)})::BOOLEAN")
        elif found:
            rows = source.rows(connection, view.table, found, f"_lake_{number}")
        else:
            rows = _no_rows(view.table, "false")
        name = qualify(view.schema, view.table.name, "duckdb")
        connection.execute(f"CREATE VIEW {name} AS {rows}")
        connection.execute(f"COMMENT ON VIEW {name} IS {text_literal(view.table.description)}")


def lock(connection: duckdb.DuckDBPyConnection, paths: Iterable[str]) -> None:
    """Nothing but the objects at `paths` is read from now on, nothing is written, and no setting is changed back."""
    connection.execute(f"SET allowed_paths = {_list(paths)}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _no_rows(table: Table, condition: str) -> str:
    columns = ", ".join(f"NULL::{sql_type(c.dtype, 'duckdb')} AS {quote(c.name, 'duckdb')}" for c in table.columns)
    return f"SELECT {columns} WHERE {condition}"


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(text_literal, texts))}]"


class ViewSource:
    """How the objects of one lake are read. s3: how S3 is reached, where it is there."""

    def __init__(self, store: object, s3: S3Options) -> None:
        self._folder = store.root if isinstance(store, FolderObjectStore) else None
        self._s3 = s3

    @property
    def reads_paths(self) -> bool:
        """Whether DuckDB opens files by itself. A folder whose name is a pattern to it is read by Arrow."""
        return self._folder is not None and not _PATTERN_SIGNS & set(str(self._folder))

    def paths(self, found: Iterable[Found]) -> list[str]:
        """What must be allowed to DuckDB to read them: nothing where Arrow does."""
        return [self._path(one) for one in found] if self.reads_paths else []

    def rows(self, connection: duckdb.DuckDBPyConnection, table: Table, found: Sequence[Found], name: str) -> str:
        """SQL for the rows of these objects of `table`, of which there is at least one. name: free in the connection,
        for what DuckDB reads through Arrow."""
        if self.reads_paths:
            source = f"read_parquet({_list(self.paths(found))}, {_columns(table)}, filename = '{_PATH}')"
            return f"SELECT {', '.join(map(_selected, table.columns))} FROM {source}"  # noqa: S608 - literals
        connection.register(name, self._dataset(table, found))
        return f"SELECT * FROM {quote(name, 'duckdb')}"  # noqa: S608 - a checked name

    def _path(self, found: Found) -> str:
        if self._folder is not None:
            return str(self._folder / found.info.key)
        return found.info.uri.removeprefix("s3://")

    def _dataset(self, table: Table, found: Sequence[Found]) -> object:
        import pyarrow.dataset as ds
        from pyarrow import fs

        form = ds.ParquetFileFormat()
        system = fs.LocalFileSystem() if self._folder is not None else _s3(self._s3)
        fragments = [
            form.make_fragment(
                self._path(one),
                system,
                # What is known without opening it: a query for one date opens one object, and asks no object's size.
                ds.field(BUSINESS_DATE) == pa.scalar(one.partition.business_date),
                file_size=one.info.size,
            )
            for one in found
        ]
        return ds.FileSystemDataset(fragments, table.arrow_schema, form, system)


def _selected(column: Column) -> str:
    """The partition's date is told from its path, so that a query for some dates opens their objects alone."""
    name = quote(column.name, "duckdb")
    if column.name != BUSINESS_DATE:
        return name
    return f"CAST(left(right({_PATH}, {len(_ENDING)}), {len(_ENDING.partition('/')[0])}) AS DATE) AS {name}"


def _columns(table: Table) -> str:
    """The contract's columns, found by name in every object, and null where it has none of that name."""
    columns = ", ".join(
        f"{text_literal(c.name)}: {{name: {text_literal(c.name)}, type: {text_literal(sql_type(c.dtype, 'duckdb'))}, "
        "default_value: NULL}"
        for c in table.columns
    )
    return f"schema = MAP {{{columns}}}, hive_partitioning = false"


def _s3(options: S3Options) -> fs.S3FileSystem:
    from pyarrow import fs

    given = {
        "access_key": options.access_key_id,
        "secret_key": options.secret_access_key and options.secret_access_key.get_secret_value(),
        "session_token": options.session_token and options.session_token.get_secret_value(),
        "region": options.region,
    }
    if options.endpoint_url is not None:
        scheme, _, host = options.endpoint_url.partition("://")
        given |= {"scheme": scheme, "endpoint_override": host.rstrip("/")}
    return fs.S3FileSystem(
        **{name: value for name, value in given.items() if value is not None},
        force_virtual_addressing=options.path_style is False,
        connect_timeout=options.connect_timeout_seconds,
        request_timeout=options.read_timeout_seconds,
    )

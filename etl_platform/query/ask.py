"""One question to the lake: exactly what is published, also while runs replace objects under it.

A query reads many objects, and a run may replace one of them meanwhile: then DuckDB fails, or reads rows that nobody
has checked. So an answer counts only when all objects that it could read are still there after it; else the question
is asked again of what is there now.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from etl_platform.catalog.registry import load_contracts
from etl_platform.errors import QueryError, StorageError, StorageUnavailableError
from etl_platform.institutions.loader import load_institutions
from etl_platform.ledger.ledger import Ledger
from etl_platform.limits import QUESTION_BATCH_ROWS, QUESTION_TRIES
from etl_platform.object_store.open import open_object_store
from etl_platform.query.objects import Found, Objects, View, views_of
from etl_platform.query.views import NOT_LISTED, ViewSource, connect, lock
from etl_platform.resources.s3_settings import s3_options
from etl_platform.settings import Settings, load_settings

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Answer:
    """rows: as Arrow, of exact types. has_more: whether there were more than the limit."""

    rows: pa.Table
    has_more: bool


def query(sql: str, settings: Settings | None = None, *, limit: int | None = None) -> Answer:
    """The answer of one SELECT over the lake of `settings` (default: those of the environment). See `Lake.query`."""
    return Lake(settings or load_settings()).query(sql, limit=limit)


def open_lake(settings: Settings | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection of one's own, in memory, with all views over the objects that are there now.

    Per institution a schema with what is published, `shared` across institutions, `stored` with all that the lake
    holds. Nobody waits for it. It does not follow the lake: of a partition that is replaced later it shows the new
    object, checked or not, or fails. For answers that are exact at any time: `query`.
    """
    return Lake(settings or load_settings()).connection()


class Lake:
    """The lake of `settings`, read by SQL. Nothing is opened before it is used, and nothing is ever written.

    Every method raises StorageUnavailableError when lake or ledger does not answer, ConfigurationError for settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._s3 = s3_options(settings)

    @cached_property
    def views(self) -> list[View]:
        """Every view there is. An institution whose file is out of use has none of its own."""
        contracts = load_contracts(self._settings)
        institutions = load_institutions(self._settings.institutions_folder, contracts)
        return views_of(contracts, institutions)

    @cached_property
    def _objects(self) -> Objects:
        settings = self._settings
        store = open_object_store(settings.lake_root, self._s3, settings.retries, service="lake")
        ledger = Ledger(settings.ledger.get_secret_value(), read_only=True, retries=settings.retries)
        return Objects(store, ledger)

    @cached_property
    def _source(self) -> ViewSource:
        return ViewSource(self._objects.store, self._s3)

    def connection(self) -> duckdb.DuckDBPyConnection:
        """See `open_lake`. Raises StorageUnavailableError when objects go away while they are looked up."""
        import duckdb

        for _ in range(QUESTION_TRIES):
            with contextlib.suppress(duckdb.IOException):  # an object that was listed a moment ago is gone
                return self._connect(self._objects.of(self.views))
        raise self._restless(f"objects went away during each of {QUESTION_TRIES} tries")

    def query(self, sql: str, *, limit: int | None = None) -> Answer:
        """At most `limit` rows (None: all) of one SELECT, or of what tells about tables: DESCRIBE, SHOW, SUMMARIZE.

        Raises QueryError for SQL that is wrong or does more than read the views, StorageError for an object that
        cannot be read, StorageUnavailableError when objects are replaced faster than the question is answered.
        """
        _require_reading(sql)
        text = sql.lower()
        wanted = [view for view in self.views if view.schema in text and view.table.name in text]
        replaced: list[str] = []
        for _ in range(QUESTION_TRIES):
            shown = self._objects.of(wanted)
            answer = self._answer(sql, shown, limit)
            replaced = self._objects.replaced(shown)
            if replaced:
                continue
            if isinstance(answer, Answer):
                return answer
            if NOT_LISTED not in str(answer) or len(wanted) == len(self.views):
                raise self._explained(answer, shown) from answer
            wanted = self.views  # a view that the text does not spell: all are looked up
        raise self._restless(f"objects were replaced during each of {QUESTION_TRIES} tries, e.g. {replaced[0]}")

    def _restless(self, found: str) -> StorageUnavailableError:
        return StorageUnavailableError(
            f"lake {self._settings.lake_root}",
            found=found,
            expected="one try without",
            next_step="ask again when fewer runs are at these tables, or only for some of them",
            service="lake",
        )

    def _connect(self, shown: Mapping[View, Sequence[Found]]) -> duckdb.DuckDBPyConnection:
        return connect(self.views, shown, self._source)

    def _answer(self, sql: str, shown: Mapping[View, Sequence[Found]], limit: int | None) -> Answer | Exception:
        """What DuckDB answers, or why it does not: only the caller knows whether that was the objects' doing."""
        import duckdb

        try:
            with self._connect(shown) as connection:
                lock(connection, (path for found in shown.values() for path in self._source.paths(found)))
                return _taken(connection.sql(sql).to_arrow_reader(QUESTION_BATCH_ROWS), limit)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            return error

    def _explained(self, error: Exception, shown: Mapping[View, Sequence[Found]]) -> QueryError | StorageError:
        """What an error means while nothing was replaced: that of an object names it, the others are about the SQL."""
        text = str(error)
        keys = (one.info.key for found in shown.values() for one in found)
        named = next((key for key in keys if key in text), None)
        if named is None:
            return _wrong(error)
        return StorageError(
            f"object {self._objects.store.uri(named)}",
            found=f"{type(error).__name__}: {text}",
            expected="a Parquet file exactly as the platform wrote it",
            next_step="rerun its partition, which writes it anew; look for the cause in the storage",
        )


def _taken(reader: pa.RecordBatchReader, limit: int | None) -> Answer:
    """The first rows; the others are not computed."""
    batches: list[pa.RecordBatch] = []
    rows = 0
    for batch in reader:
        batches.append(batch)
        rows += batch.num_rows
        if limit is not None and rows > limit:
            break
    table = pa.Table.from_batches(batches, reader.schema)
    return Answer(table if limit is None else table.slice(0, limit), limit is not None and rows > limit)


def _require_reading(sql: str) -> None:
    """Raises QueryError unless `sql` is one statement that reads.

    EXPLAIN is none: with ANALYZE it runs what it explains, and a COPY could write over an object that may be read.
    """
    import duckdb

    with duckdb.connect(":memory:") as connection:
        try:
            statements = connection.extract_statements(sql)
        except duckdb.Error as error:
            raise _wrong(error) from error
    kinds = [statement.type for statement in statements]
    if len(kinds) != 1 or kinds[0] != duckdb.StatementType.SELECT:
        found = ", ".join(kind.name for kind in kinds) or "no statement"
        raise QueryError(
            "query",
            found=found,
            expected="one statement that reads: SELECT, WITH, FROM, DESCRIBE, SHOW or SUMMARIZE",
            next_step="leave the others out; nothing was run, and nothing can be written here",
        )


def _wrong(error: Exception) -> QueryError:
    return QueryError(
        "query",
        found=" ".join(str(error).partition("\n\nLINE")[0].split()),
        expected="SQL of DuckDB over <institution>.<table>, shared.<table> and stored.<table>, and nothing outside",
        next_step="`show all tables` lists them, `describe <institution>.<table>` their columns; docs/query.md",
    )

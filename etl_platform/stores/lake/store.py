"""Tables as Parquet objects, one per partition, in a folder or in S3.

Belongs here: object keys, scratch and publishing. Not here: the files (`parquet_file.py`), how objects are stored
(`object_store/open.py`), Dagster (`defs/io_manager.py`).

Each partition is published in one step: a reader sees its old rows or its new ones. A replace of several
partitions publishes them one after the other, each atomically, and only once every row was seen, checked and
written to scratch: a source that fails half-way changes nothing. The same rows give the same bytes, however
they were cut into batches.
"""

from __future__ import annotations

import datetime as dt
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.errors import StorageUnavailableError
from etl_platform.limits import OBJECT_HELD_BYTES, OBJECTS_HELD_BYTES
from etl_platform.object_store.folder import place_of
from etl_platform.object_store.types import ObjectInfo, ObjectMissingError, ObjectStore
from etl_platform.retries import asking
from etl_platform.stores.frames import subset
from etl_platform.stores.lake.parquet_file import TableFile, read_table, write_table
from etl_platform.stores.partition_guard import checked, distinct, spooled
from etl_platform.stores.store import Written


class LakeStore:
    """Parquet objects in an object store. `scratch`: folder for the files of large ones (default: the system's).

    is_in_use: whether anything was ever published from it. A folder that is not mounted and a wrong prefix look like
    an empty store: what is missing there is no partition without rows, and nothing is written beside it. A folder that
    has become another one on the way holds what was last seen in it, or is not the lake.
    """

    def __init__(
        self, objects: ObjectStore, scratch: Path | None = None, is_in_use: Callable[[], bool] | None = None
    ) -> None:
        self._objects = objects
        self._scratch = scratch
        self._is_in_use = is_in_use
        self._place: tuple[int, ...] | None = None
        self._known: str | None = None

    @property
    def service(self) -> str:
        """The object store's."""
        return self._objects.service

    def probe(self) -> None:
        """See `TableStore.probe`."""
        self._objects.probe()
        with asking(self.service):
            self._require_lake()

    def key(self, table: Table, partition: PartitionKey) -> str:
        """Where the object of a partition is."""
        return f"{folder(table, partition.institution)}date={partition.business_date}/data.parquet"

    def replace(self, table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]) -> Written:
        """See `TableStore.replace`; atomic per partition. A partition without rows becomes an object without rows."""
        with asking(self.service):
            return self._replace(table, distinct(table, partitions), batches)

    def _replace(self, table: Table, keys: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]) -> Written:
        self._require_lake()
        in_memory = min(OBJECT_HELD_BYTES, OBJECTS_HELD_BYTES // max(len(keys), 1))
        with self._scratch_files(len(keys)) as paths:
            if len(keys) == 1:
                files = [write_table(table, checked(table, keys, batches), paths[0], in_memory=in_memory)]
            else:
                with spooled(table, keys, batches, self._scratch) as spools:
                    files = [
                        write_table(table, spools[key].batches(), path, in_memory=in_memory)
                        for key, path in zip(keys, paths, strict=True)
                    ]
            infos = [
                self._publish(self.key(table, key), file, path)
                for key, file, path in zip(keys, files, paths, strict=True)
            ]
        location = infos[0].uri if len(infos) == 1 else self._objects.uri(folder(table))
        return Written(location, sum(file.rows for file in files), sum(info.size for info in infos))

    def read(
        self, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `TableStore.read`. Every byte is verified; one partition is held at a time, a large one on disk."""
        for partition in distinct(table, partitions):
            with self._scratch_files(1) as (path,):
                try:
                    received = self._objects.obtain(self.key(table, partition), path, in_memory=OBJECT_HELD_BYTES)
                except ObjectMissingError:
                    self._require_lake()
                    continue
                self._known = self.key(table, partition)
                source = path if received.content is None else received.content
                yield from read_table(source, subset(table, columns), self._objects.uri(self.key(table, partition)))

    def _require_lake(self) -> None:
        if self._is_in_use is not None and ((place := place_of(self._objects)) is None or place != self._place):
            self._look()

    def _look(self) -> None:
        """Raises StorageUnavailableError where the lake holds nothing, or not what it held, although it is in use."""
        if not self._is_there():
            raise StorageUnavailableError(
                f"lake {self._objects.url}",
                found="no object at all" if self._known is None else f"no {self._known}, which was there before",
                expected="the lake of which the ledger has published partitions on record",
                next_step="mount it, or correct ETL_LAKE. If it is lost for good, put any file there and "
                "`etl-platform replay` what the landing zone still has",
                service=self.service,
            )
        self._place = place_of(self._objects)

    def _is_there(self) -> bool:
        if self._known is not None:
            return self._objects.head(self._known) is not None
        return next(iter(self._objects.list()), None) is not None or self._is_in_use is None or not self._is_in_use()

    def _publish(self, key: str, file: TableFile, path: Path) -> ObjectInfo:
        objects, content = self._objects, file.content
        found = objects.put_file(key, path) if content is None else objects.put_bytes(key, content)
        self._known = key
        return found

    @contextmanager
    def _scratch_files(self, count: int) -> Iterator[list[Path]]:
        """Names for `count` files, which are removed at the end."""
        folder = self._scratch or Path(tempfile.gettempdir())
        paths = [folder / f"etl-lake-{uuid.uuid4().hex}.parquet" for _ in range(count)]
        try:
            yield paths
        finally:
            for path in paths:
                path.unlink(missing_ok=True)


def folder(table: Table, institution: str | None = None) -> str:
    """What the keys of a table's objects begin with, or those of one institution's."""
    return f"{table.layer}/{table.name}/" + (f"institution={institution}/" if institution else "")


_PLACE = re.compile(r"(?:institution=(?P<institution>[^/]+)/)?date=(?P<date>\d{4}-\d{2}-\d{2})/data\.parquet")


def partition_at(table: Table, key: str) -> PartitionKey | None:
    """The partition of `table` whose object is at `key`; None where it is no object of it."""
    found = _PLACE.fullmatch(key.removeprefix(folder(table)))
    if found is None or (found["institution"] is None) != table.shared:
        return None
    try:
        return PartitionKey(dt.date.fromisoformat(found["date"]), found["institution"])
    except ValueError:
        return None

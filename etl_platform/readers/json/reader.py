"""JSON: every value as text, exactly as sent. Numbers keep their digits, nested values their JSON text.

Belongs here: layouts, columns over the whole file, rejects. Not here: cutting (`lines.py`), grammar (`pairs.py`).

A key that first appears in a later block is a further column from that batch on: nothing is lost, and whoever joins
the batches sees it. A blank line is no record.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
import polars as pl

from etl_platform.errors import ConfigurationError
from etl_platform.limits import JSON_BATCH_CELLS, JSON_KEYS_PER_COLUMN
from etl_platform.readers.archive import Compression
from etl_platform.readers.batch import SOURCE_ROW, Batch, no_rejects
from etl_platform.readers.encoding import to_utf8
from etl_platform.readers.json.lines import beginning, elements_of, lines_of, spans_lines, values_of
from etl_platform.readers.json.pairs import Pairs, find_pairs
from etl_platform.readers.json.path import too_deep
from etl_platform.readers.json.text import explain
from etl_platform.readers.json.values import find_keys, read_values
from etl_platform.readers.options import JsonOptions
from etl_platform.readers.records import Mask, Records, positions_of
from etl_platform.readers.source import Source

# A line can break several rules; it is rejected once.
_GRAVEST_FIRST = ("line_is_json", "line_has_unique_keys", "text_has_no_nul")


def read_json(
    source: Source, compression: Compression, options: JsonOptions, batch_rows: int, expected: tuple[str, ...]
) -> Iterator[Batch]:
    """Yield the file's records. Raises FileRefusedError where the file as a whole cannot be trusted."""
    path = tuple(options.records.split(".")) if options.records else ()
    if path and options.layout == "lines":
        raise ConfigurationError(
            f"{source.subject} option records", found="a path together with layout `lines`", expected="layout `array`"
        )
    chunks, first = _peek(source, to_utf8(source, compression, options.encoding))
    chunks, text = beginning(chunks)
    is_array = options.layout == "array" or (options.layout == "auto" and (bool(path) or first == b"["))
    if is_array and not path and first != b"[":
        raise source.refusal("file_is_in_declared_format", f"JSON that begins with {first.decode()!r}", "an array")
    names = dict.fromkeys(expected)
    any_batch = False
    if is_array:
        cut = elements_of(source, chunks, path)
    else:
        cut = values_of(source, chunks) if spans_lines(text) else lines_of(source, chunks)
    for records in cut:
        for batch in _batches(source, records, names, batch_rows, blank_is_record=is_array):
            any_batch = True
            yield batch
    if not any_batch:
        yield Batch(_no_rows(names), _rows(Records.none()), Records.none().raw)


def _peek(source: Source, chunks: Iterator[bytes]) -> tuple[Iterator[bytes], bytes]:
    """The chunks from the first that is not blank, and its first character."""
    blank: list[bytes] = []
    for chunk in chunks:
        text = chunk.lstrip(b" \t\r\n")
        if text:
            return chain(blank, (chunk,), chunks), text[:1]
        blank.append(chunk)
        if len(blank) > source.limits.field_bytes // 2**20:
            break
    raise source.empty("nothing but blanks")


def _rows(records: Records) -> pl.Series:
    return pl.Series(SOURCE_ROW, records.rows, dtype=pl.Int64)


def _batches(
    source: Source, records: Records, names: dict[str, None], batch_rows: int, *, blank_is_record: bool
) -> Iterator[Batch]:
    rejects = no_rejects()
    if b"\0" in records.text:
        holding = records.holding(positions_of(records.text, 0))
        rejects.extend(records.rejects(holding, "text_has_no_nul", "a NUL byte"))
        records = _compact(records.take(np.setdiff1d(np.arange(len(records)), holding)))
    _require_keys(source, records)
    pairs = find_pairs(records.text)
    if pairs.depth > source.limits.json_depth:
        raise too_deep(source)
    keys = find_keys(records.text, pairs)
    columns = max(len(keys.dictionary), len(names))
    if columns > source.limits.columns:
        raise _too_wide(source)
    if len(records) * columns > JSON_BATCH_CELLS and len(records) > 1:
        _require_density(source, records, pairs, columns)
        if rejects.height:
            yield Batch(_no_rows(names), _rows(Records.none()), Records.none().raw, rejects)
        for half in np.array_split(np.arange(len(records)), 2):
            part = _compact(records.take(half))
            yield from _batches(source, part, names, batch_rows, blank_is_record=blank_is_record)
        return
    values = read_values(records.text, pairs, keys)
    if len(values.columns.keys() | names.keys()) > source.limits.columns:
        raise _too_wide(source)
    good = ~pairs.broken
    for rule, lines, found in sorted(values.refused, key=lambda refused: _GRAVEST_FIRST.index(refused[0])):
        fresh = np.unique(lines[good[lines]])
        rejects.extend(records.rejects(fresh, rule, found))
        good[fresh] = False
    rejects.extend(_broken(records, pairs.broken))
    if blank_is_record:
        rejects.extend(_broken(records, _blank(records) & good))
    good &= ~_blank(records)
    names.update(dict.fromkeys(values.columns))
    missing = pl.repeat(None, len(records), dtype=pl.String, eager=True)
    series = {name: values.columns.get(name, missing) for name in names}
    frame = pl.DataFrame(series) if series else pl.DataFrame(height=len(records))
    bare = values.bare
    if not good.all():
        is_good = pl.Series(good)
        frame, records = frame.filter(is_good), records.take(good)
        bare = {name: flags.filter(is_good) for name, flags in bare.items()}
    rejects = rejects.sort(SOURCE_ROW)
    for start in range(0, max(len(records), 1), batch_rows):
        part = records.take(np.arange(start, min(start + batch_rows, len(records))))
        if len(part) or rejects.height:
            own = {name: flags.slice(start, batch_rows) for name, flags in bare.items()}
            yield Batch(frame.slice(start, batch_rows), _rows(part), part.raw, rejects, len(part.text), own)
        rejects = no_rejects()


def _no_rows(names: dict[str, None]) -> pl.DataFrame:
    return pl.DataFrame(schema=dict.fromkeys(names, pl.String))


def _too_wide(source: Source) -> Exception:
    return source.beyond(f"more than {source.limits.columns} different keys", f"{source.limits.columns} at most")


def _require_density(source: Source, records: Records, pairs: Pairs, columns: int) -> None:
    """Refuse records that together have far more different keys than each has: as a table they are mostly nothing."""
    limit = source.limits.decompressed_ratio
    if len(records) * columns > limit * max(len(pairs.lines), 1):
        found = f"{len(pairs.lines)} values in {len(records)} records of {columns} different keys"
        raise source.beyond(found, f"{limit} times as many fields as values at most")


def _require_keys(source: Source, records: Records) -> None:
    """Refuse a record of absurdly many keys before each of them costs a hundred bytes of positions."""
    most = JSON_KEYS_PER_COLUMN * source.limits.columns
    lengths = records.stops - records.starts
    for at in np.flatnonzero(lengths > 4 * most):
        # Keys of nested values count here, which is why the bound is so much wider than that of columns.
        if records.text.count(b":", records.starts[at], records.stops[at]) > most:
            found = f"record {records.rows[at]}: more than {most} keys, nested ones included"
            raise source.beyond(found, f"{source.limits.columns} columns at most")


def _compact(records: Records) -> Records:
    stops = np.cumsum(records.stops - records.starts)
    return Records(records.joined(), stops - (records.stops - records.starts), stops, records.rows)


def _blank(records: Records) -> Mask:
    """True for lines of nothing but blanks."""
    data = np.frombuffer(records.text, dtype=np.uint8)
    suspects = np.flatnonzero(data[records.starts] <= ord(" "))
    blank = np.zeros(len(records), dtype=np.bool_)
    blank[[at for at in suspects if not records.text[records.starts[at] : records.stops[at]].strip()]] = True
    return blank


def _broken(records: Records, broken: Mask) -> pl.DataFrame:
    at = np.flatnonzero(broken)
    rejects = no_rejects()
    verdicts = [explain(records.text[records.starts[i] : records.stops[i]].decode().rstrip("\r\n")) for i in at]
    for rule in sorted({rule for rule, _ in verdicts}):
        chosen = [index for index, verdict in enumerate(verdicts) if verdict[0] == rule]
        rejects.extend(records.rejects(at[chosen], rule, [verdicts[index][1] for index in chosen]))
    return rejects

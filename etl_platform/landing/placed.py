"""Which rows of a bronze manifest count today, and under which address.

A row is known by its key and content. Belongs here: bringing a manifest up to date. Not here: copying (`copies.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import polars as pl

from etl_platform.contracts.manifest import ListedRow, ManifestRow, manifest_table, rows_of
from etl_platform.ledger.records import CURRENT, WHOLE_KEY, LedgerObject

Content = tuple[str, str]


class _Address(TypedDict, total=False):
    uri: str
    etag: str | None
    version: str | None


def identity(row: ListedRow) -> str:
    """What told the row's content from the next one of its key when it was seen last."""
    return str(row["version"] or row["etag"] or f"{row['size']}-{row['last_modified']}")


class Past:
    """What a partition has received so far, by identity and, with the ledger's help, by content."""

    def __init__(self, previous: pl.DataFrame, on_record: Sequence[LedgerObject]) -> None:
        rows = rows_of(previous)
        self._by_identity = {(row["key"], identity(row)): row for row in rows}
        self._by_content = {content(row): row for row in rows}
        self._hashes = {(found.key, found.identity): found.sha256 for found in on_record if found.sha256}

    def kept(self, listed: ListedRow) -> ManifestRow | None:
        """The row of a listed object that need not be copied again, with the address that it has now."""
        key, name = listed["key"], identity(listed)
        row = self._by_content.get((key, self._hashes.get((key, name), ""))) or self._by_identity.get((key, name))
        if row is None:
            return None
        placed: ManifestRow = {**row, "uri": listed["uri"], "etag": listed["etag"], "version": listed["version"]}
        # Put back by its sender: delivered now. Else a restore without times would change which delivery is the last.
        return placed if row["is_current"] else {**placed, "last_modified": listed["last_modified"]}


def merged(
    previous: pl.DataFrame,
    kept: Sequence[ManifestRow],
    copied: Sequence[ManifestRow],
    dataset: str,
    on_record: Sequence[LedgerObject],
    excluded: frozenset[Content],
) -> pl.DataFrame:
    """The manifest after a step: one row per (key, content), deliveries ranked by last modification (key breaks ties),
    so that the same objects always get the same ranks.

    Of several contents of one key the one in the present listing is current, not the one with the newest clock: two
    versions may carry the same second. A key that is no longer listed keeps its last current content, and gets back
    one whose withdrawal was undone.
    """
    # Row by row and not as a query: most manifests have one row, for which planning costs more than copying the file.
    there = [*kept, *copied]
    placed: list[ManifestRow] = [{**row, "is_current": True} for row in there]
    contents = {content(row): row for row in (*rows_of(previous), *placed)}
    listed = {content(row) for row in there if not _is_out(row, excluded)}
    listed_keys = {key for key, _ in listed}
    # Where another partition has the key by now, its new content replaces what this one had.
    hidden_keys = {row["key"] for row in there} - listed_keys | {key for key, name in excluded if name == WHOLE_KEY}
    known = {
        (found.key, name): found
        for found in on_record
        for name in (found.sha256, found.identity)  # by its name alone where the run that copied it told nobody
        if found.state in CURRENT and name
    }
    # Put back by a person while nothing of its key is listed: it takes the place of what counted meanwhile.
    hidden_keys |= {row["key"] for row in contents.values() if _known(row, known)}
    judged: list[ManifestRow] = []
    for one, row in contents.items():
        if row["key"] in listed_keys:
            is_current = one in listed
        else:
            # What lies there and was withdrawn takes the place of what counts, but of nothing that was put back.
            is_current = _known(row, known) is not None or (row["is_current"] and row["key"] not in hidden_keys)
        is_current = is_current and not _is_out(row, excluded)
        judged.append({**row, **_address(_known(row, known)), "is_current": is_current})
    judged.sort(key=lambda row: (row["last_modified"], row["is_current"], row["key"], row["sha256"]))
    ranked = [{**row, "delivery": rank} for rank, row in enumerate(judged, start=1)]
    return pl.DataFrame(ranked, schema=manifest_table(dataset).polars_schema)


def contributing(manifest: pl.DataFrame, excluded: frozenset[Content], *, overwritten_too: bool) -> pl.DataFrame:
    """The manifest with those files current whose rows belong to the partition."""
    if not excluded:
        return manifest.with_columns(is_current=pl.lit(True)) if overwritten_too else manifest
    counts = [(overwritten_too or row["is_current"]) and not _is_out(row, excluded) for row in rows_of(manifest)]
    return manifest.with_columns(is_current=pl.Series(counts, dtype=pl.Boolean))


def content(row: ManifestRow) -> Content:
    """Key and hash."""
    return row["key"], row["sha256"]


def _known(row: ManifestRow, known: Mapping[Content, LedgerObject]) -> LedgerObject | None:
    return known.get(content(row)) or known.get((row["key"], identity(row)))


def _is_out(row: ManifestRow, excluded: frozenset[Content]) -> bool:
    return content(row) in excluded or (row["key"], identity(row)) in excluded


def _address(found: LedgerObject | None) -> _Address:
    """Under which identity the ledger knows the content today: what becomes of it is told by that."""
    return {} if found is None else {"uri": found.uri, "etag": found.etag, "version": found.version}

"""Sample landing files of all institutions, and the answer sheet. Any institution file works without code.

Belongs here: which partitions, which keys, the order of writing, the counts. Each partition comes in up to two
deliveries; the second corrects and repeats rows of the first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import SUPERSEDED_RULE
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.model import Institution
from etl_platform.object_store.open import ObjectStore, open_object_store
from etl_platform.sample.composition import (
    BROKEN,
    DELIVERY,
    DUPLICATE,
    FATE,
    GOOD,
    RULE,
    SUPERSEDED,
    compose,
)
from etl_platform.sample.defects import Kinds, broken_rules
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.expected import Expected, ExpectedPartition, RefusedRow
from etl_platform.sample.writers import File, unreadable_file, write_file

DELIVERY_TIMES = ("0600", "1830")
UNREADABLE_TIME = "2300"
SATURDAY = 5
KEY, ROW = "_key", "_row"


@dataclass(frozen=True)
class _Plan:
    rows: int
    seed: int
    defect_share: float
    unreadable_date: dt.date | None


def business_days(first: dt.date, count: int) -> list[dt.date]:
    """The first `count` Mondays to Fridays from `first` on."""
    return [d for d in (first + dt.timedelta(days=i) for i in range(2 + count * 7 // 5 + 2)) if d.weekday() < SATURDAY][
        :count
    ]


def generate(
    landing: Path | ObjectStore,
    institutions: Mapping[str, Institution],
    *,
    first_date: dt.date,
    days: int,
    rows_per_day: int,
    seed: int = 1,
    defect_share: float = 0.01,
    unreadable_date: dt.date | None = None,
    contracts: Mapping[str, Contract] | None = None,
    expected_path: Path | None = None,
) -> Expected:
    """Write the files of every business day, institution and dataset below `landing`, and the answer sheet beside it
    (`expected.json` in the parent of a landing folder, or `expected_path`).

    rows_per_day: the exact number of rows of each partition. defect_share: part of them that breaks a rule; 0 means
    no fault, repeat or correction at all. unreadable_date: on it every partition also gets a file that cannot be
    read, which blocks the partition. The same arguments give the same bytes; a file that has them is left alone.
    """
    if rows_per_day < 1 or days < 1 or not 0 <= defect_share < 1:
        raise ConfigurationError(
            "sample size",
            found=f"{days} days, {rows_per_day} rows per day, defect share {defect_share}",
            expected="at least one day and one row, and a share from 0 to below 1",
        )
    dates = business_days(first_date, days)
    if dates[-1] >= dt.datetime.now(dt.UTC).date():
        raise ConfigurationError(
            f"sample of {days} business days from {first_date}",
            found=f"{dates[-1]} as last day",
            expected="a day before today: rows of the future would rightly be refused",
        )
    store = open_object_store(str(landing)) if isinstance(landing, Path) else landing
    plan = _Plan(rows_per_day, seed, defect_share, unreadable_date)
    known = built_in_contracts() if contracts is None else contracts
    partitions = []
    for day, date in enumerate(dates):
        for institution in institutions.values():
            for dataset in institution.datasets:
                sender = Sender.of(institution, known[dataset])
                partitions.append(_deliver(store, sender, date, day, plan))
    expected = Expected(seed, tuple(partitions))
    if expected_path is None and isinstance(landing, Path):
        expected_path = landing.parent / "expected.json"
    if expected_path is not None:
        expected.save(expected_path)
    return expected


def _deliver(store: ObjectStore, sender: Sender, date: dt.date, day: int, plan: _Plan) -> ExpectedPartition:
    # A pattern without `...` has room for one file a day.
    deliveries = len(DELIVERY_TIMES) if sender.institution.pattern(sender.dataset).text.endswith("...") else 1
    composition = compose(
        sender, date, day, plan.rows, plan.seed, defect_share=plan.defect_share, deliveries=deliveries
    )
    sent, keys = [], []
    refused_files = {}
    for rows, captured in _files(composition.rows, sender):
        file = write_file(rows, sender)
        key = _key(sender, date, DELIVERY_TIMES[int(rows[DELIVERY][0]) - 1], file, captured)
        _put(store, key, file.data)
        keys.append(key)
        number = pl.int_range(file.first_row, pl.len() + file.first_row).alias(ROW)
        sent.append(rows.select(FATE, RULE, number, pl.lit(key).alias(KEY)))
    if date == plan.unreadable_date and deliveries > 1:
        data, rule = unreadable_file(file)
        key = _key(sender, date, UNREADABLE_TIME, file, captured)
        _put(store, key, data)
        refused_files[key] = rule
    return _expected(sender, date, pl.concat(sent), composition.kinds, keys=tuple(keys), refused_files=refused_files)


def _files(rows: pl.DataFrame, sender: Sender) -> Iterator[tuple[pl.DataFrame, dict[str, str]]]:
    """The rows of each file, first deliveries first, with the names that its key must carry."""
    pattern = sender.institution.pattern(sender.dataset)
    named = {name: column for column, name in sender.config.columns_from_key.items()}
    constant = dict.fromkeys(pattern.names - set(named), "sample")
    for part in rows.partition_by([DELIVERY, *named.values()], maintain_order=True):
        yield part, {**constant, **{name: str(part[column][0]) for name, column in named.items()}}


def _key(sender: Sender, date: dt.date, time: str, file: File, captured: Mapping[str, str]) -> str:
    """Names sort in the order of delivery: on a store that keeps whole seconds the key decides."""
    name = f"{sender.dataset}-{time}{file.suffix}"
    return sender.institution.pattern(sender.dataset).render(sender.code, sender.dataset, date, name, **captured)


def _put(store: ObjectStore, key: str, data: bytes) -> None:
    found = store.head(key)
    if found is None or found.size != len(data) or store.read_bytes(key) != data:
        store.put_bytes(key, data)


def _expected(
    sender: Sender,
    date: dt.date,
    sent: pl.DataFrame,
    kinds: Kinds,
    *,
    keys: tuple[str, ...],
    refused_files: dict[str, str],
) -> ExpectedPartition:
    fates = dict(sent.group_by(FATE).len().iter_rows())
    together = {rule: broken_rules(sender, rule) for rule in kinds.made}
    refused = [
        RefusedRow(key, row, (SUPERSEDED_RULE,) if fate == SUPERSEDED else together[rule])
        for fate, rule, row, key in sent.filter(pl.col(FATE).is_in([BROKEN, SUPERSEDED])).iter_rows()
    ]
    rules: dict[str, int] = {}
    for name in (name for one in refused for name in one.rules):
        rules[name] = rules.get(name, 0) + 1
    return ExpectedPartition(
        dataset=sender.dataset,
        institution=sender.code,
        business_date=date,
        files=(*keys, *refused_files),
        rows_read=sent.height,
        silver=fates.get(GOOD, 0),
        quarantined=len(refused),
        superseded=fates.get(SUPERSEDED, 0),
        duplicates=fates.get(DUPLICATE, 0),
        rules=dict(sorted(rules.items())),
        refused_rows=tuple(refused),
        refused_files=refused_files,
        skipped_rules=kinds.skipped,
    )

"""From silver, or gold, to gold: the rows of a gold table for one partition or for many, judged before they are stored.

Not here: the tables (`gold/`), what each check says (`gold_judges.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import DeliveryRefusedError, EtlError
from etl_platform.gold.table import GoldTable
from etl_platform.pipeline.attempt import cause_of
from etl_platform.pipeline.configuration import Configuration
from etl_platform.pipeline.facts import Made, Markdown
from etl_platform.pipeline.gold_judges import failed, judge_gold
from etl_platform.pipeline.verdict import Verdict
from etl_platform.stores.reading import read_frames
from etl_platform.stores.store import TableStore
from etl_platform.transforms.validate import find_failures

_ROWS = "_source_rows"


@dataclass(frozen=True)
class Aggregated:
    """The rows of a gold table for one partition, not stored yet, and what its checks say of them."""

    gold: GoldTable
    partition: PartitionKey
    made: Made[pl.DataFrame]
    verdicts: Mapping[str, Verdict]

    @property
    def is_sound(self) -> bool:
        """Whether no check of it has failed."""
        return not failed(self.verdicts)

    def require_sound(self) -> Made[pl.DataFrame]:
        """What is to be stored. Raises DeliveryRefusedError naming table and rules: the former rows stay."""
        broken = failed(self.verdicts)
        if not broken:
            return self.made
        samples = {name: verdict.sample for name, verdict in broken.items() if verdict.sample is not None}
        raise DeliveryRefusedError(
            f"gold/{self.gold.name} of {self.partition}",
            found="; ".join(f"{name}: {verdict.text}" for name, verdict in broken.items()),
            expected="rows that keep every rule of its contract; nothing was written, its former rows stay",
            next_step="compare its source with the rule; mend the rows, the rule or the computation, then "
            "`etl-platform run` with the date",
            facts=samples,
        )


def aggregate(gold: GoldTable, rows: pl.LazyFrame, partition: PartitionKey) -> Aggregated:
    """The table's rows for one partition. rows: of its source, for that partition."""
    return aggregate_each(gold, rows, [partition])[partition]


def aggregate_each(
    gold: GoldTable, rows: pl.LazyFrame, partitions: Sequence[PartitionKey]
) -> dict[PartitionKey, Aggregated]:
    """The same for every partition, in one query: a gold table's groups never reach beyond a partition."""
    try:
        parts, source_rows = _computed(gold, rows)
    except Exception as error:
        if isinstance(cause := cause_of(error), EtlError):
            raise cause from None  # of the lake, from which the rows come as they are asked for
        # Whatever a table's own code raises: it is that table's fault, and names it.
        raise DeliveryRefusedError(
            f"gold/{gold.name} of {', '.join(map(str, partitions[:3]))}",
            found=f"its computation failed: {type(error).__name__}: {error}",
            expected="rows; nothing was written, its former rows stay",
            next_step="mend the computation or the rows of its source, then `etl-platform run` with the date",
        ) from error
    empty = gold.table.empty()
    return {key: _judged(gold, key, parts.get(key, empty), source_rows.get(key, 0)) for key in partitions}


def judge_stored_gold(
    gold: GoldTable, partition: PartitionKey, lake: TableStore, config: Configuration
) -> dict[str, Verdict]:
    """What the checks say of the stored rows of a partition, against what is stored of its source."""
    table = config.catalog.table(*gold.source)
    column = gold.counted or table.partition_columns[0]
    frames = read_frames(lake, table, source_partitions(gold, partition, config), [column])
    found = [frame.height if gold.counted is None else int(frame.get_column(column).sum()) for frame in frames]
    return judge_gold(gold, read_frames(lake, gold.table, [partition]), sum(found))


def source_partitions(gold: GoldTable, partition: PartitionKey, config: Configuration) -> list[PartitionKey]:
    """The partitions of its source that a partition of the table rests on."""
    return [PartitionKey(partition.business_date, code) for code in config.codes] if gold.is_shared else [partition]


def _computed(gold: GoldTable, rows: pl.LazyFrame) -> tuple[dict[PartitionKey, pl.DataFrame], dict[PartitionKey, int]]:
    """The rows of each partition, and how many rows of the source each has."""
    by = gold.table.partition_columns
    count = pl.len() if gold.counted is None else pl.col(gold.counted).sum()
    counting = rows.group_by(by).agg(count.cast(pl.Int64).alias(_ROWS))
    result, counted = pl.collect_all([gold.compute(rows), counting], engine="streaming")
    parts = {PartitionKey(*key): part for key, part in result.partition_by(by, as_dict=True).items()}
    return parts, {PartitionKey(*key): int(number) for *key, number in counted.select(*by, _ROWS).iter_rows()}


def _judged(gold: GoldTable, partition: PartitionKey, rows: pl.DataFrame, source_rows: int) -> Aggregated:
    # One query for all rules: what is stored is held against them by Pandera, and both must agree.
    are_valid = rows.schema == gold.table.polars_schema and find_failures(rows, gold.contract).is_empty()
    verdicts = judge_gold(gold, [rows], source_rows, are_valid=are_valid)
    # A picture of rows that are not what the contract says may fail, and tells nobody anything.
    plots = gold.plot(rows) if gold.plot and not failed(verdicts) else {}
    facts = {name: Markdown(text) for name, text in plots.items()}
    return Aggregated(gold, partition, Made(gold.table, rows, facts), verdicts)

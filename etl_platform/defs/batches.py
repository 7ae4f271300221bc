"""Which deliveries go together through one run: many small ones of one institution and dataset.

The same choice for the sensor and for `etl-platform run`. A run names what it is for in its configuration, since one
over many has no partition tag. Not here: what such a run does (`many.py`), runs of one partition.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from etl_platform.defs.jobs import LOAD_MANY
from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.limits import BATCH_DATES, BATCH_FEWEST_DATES, BATCH_PARTITION_BYTES, BATCH_RUN_BYTES
from etl_platform.pipeline.references import TRANSACTIONS

_OP = "load_partitions"


@dataclass(frozen=True)
class DateBatch:
    """What one run over several dates is for."""

    institution: str
    dataset: str
    dates: tuple[dt.date, ...]

    def __str__(self) -> str:
        return f"{self.institution} {self.dataset} {self.dates[0]}..{self.dates[-1]}"

    @property
    def deliveries(self) -> list[Delivery]:
        return [Delivery(self.dataset, date, self.institution) for date in self.dates]

    @property
    def run_config(self) -> dict[str, Any]:
        """The configuration of its run."""
        dates = [date.isoformat() for date in self.dates]
        config = {"institution": self.institution, "dataset": self.dataset, "dates": dates}
        return {"ops": {_OP: {"config": config}}}

    @classmethod
    def of(cls, run: dg.DagsterRun) -> DateBatch | None:
        """What a run is for; None where it is none over many dates, or somebody wrote its configuration by hand."""
        if run.job_name != LOAD_MANY:
            return None
        try:
            written: Any = run.run_config
            config = written["ops"][_OP]["config"]
            dates = tuple(sorted(map(dt.date.fromisoformat, config["dates"])))
            return cls(str(config["institution"]), str(config["dataset"]), dates) if dates else None
        except (KeyError, TypeError, ValueError):
            return None


def batches(wanted: Iterable[Delivery], ledger: Ledger, workers: int = 1) -> list[DateBatch]:
    """Those of `wanted` that go together, in runs; the others have a run of their own. So has one that failed before:
    it would be left again. workers: how many runs are to be at work to the end."""
    groups: dict[tuple[str, str], list[dt.date]] = defaultdict(list)
    for delivery in wanted:
        groups[delivery.institution, delivery.dataset].append(delivery.business_date)
    found = []
    # What refers to another dataset comes behind it: what it refers to is loaded first.
    for (institution, dataset), dates in sorted(groups.items(), key=lambda group: group[0][1] == TRANSACTIONS):
        if len(dates) < BATCH_FEWEST_DATES:
            continue
        sizes = ledger.fresh_sizes(institution, dataset)
        small = sorted(date for date in dates if sizes.get(date, BATCH_PARTITION_BYTES) < BATCH_PARTITION_BYTES)
        if len(small) >= BATCH_FEWEST_DATES:
            found += [DateBatch(institution, dataset, chunk) for chunk in chunks(small, workers, sizes)]
    return found


def chunks(dates: Sequence[dt.date], workers: int, sizes: Mapping[dt.date, int]) -> list[tuple[dt.date, ...]]:
    """In order, all workers at work to the end, none above the bounds."""
    rounds = math.ceil(len(dates) / workers / BATCH_DATES)
    longest = math.ceil(len(dates) / workers / rounds)
    cut: list[list[dt.date]] = [[]]
    for date in dates:
        is_full = len(cut[-1]) == longest or sum(sizes.get(d, 0) for d in (*cut[-1], date)) > BATCH_RUN_BYTES
        if cut[-1] and is_full:
            cut.append([])
        cut[-1].append(date)
    return [tuple(chunk) for chunk in cut]

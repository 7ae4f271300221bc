"""The one word for what a run works on: a delivery, one dataset on one business date from one institution.

Belongs here: its name and how it maps to the partition of a table. Not here: Dagster's keys (`partitions.py`), what
the ledger knows of it (`ledger/records.py`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from etl_platform.contracts.table import PartitionKey


@dataclass(frozen=True, order=True)
class Delivery:
    """One dataset on one business date from one institution."""

    dataset: str
    business_date: dt.date
    institution: str

    def __str__(self) -> str:
        return f"{self.institution} {self.dataset} {self.business_date}"

    @classmethod
    def of(cls, dataset: str, partition: PartitionKey) -> Delivery:
        """That of `dataset` whose rows lie in `partition`, which is one of an institution."""
        assert partition.institution is not None, f"{dataset} {partition} is of no institution"
        return cls(dataset, partition.business_date, partition.institution)

    @property
    def partition(self) -> PartitionKey:
        """Where its rows lie in a table."""
        return PartitionKey(self.business_date, self.institution)

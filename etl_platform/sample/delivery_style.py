"""Who sends what: everything of one institution's configuration that shapes the sample files of one dataset.

Not here: the values (`market.py`, `transactions.py`), their faults (`defects.py`), their bytes (`writers.py`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from etl_platform.contracts.contract import UTC_MICROSECONDS, Contract
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.file_format import sender_format
from etl_platform.institutions.loader import bind_contract
from etl_platform.institutions.model import DatasetConfig, Institution
from etl_platform.readers.options import ParquetOptions
from etl_platform.sample.text import to_text
from etl_platform.transforms.casts import Dialect, cast_series
from etl_platform.transforms.normalise import column_dialect

OPENS, SESSION_SECONDS = dt.time(9, 30), 23_400
"""09:30 to 16:00 of the institution's own clock: far from midnight (any tolerance serves) and from clock changes."""


@dataclass(frozen=True)
class Sender:
    """One institution as sender of one dataset; `contract` is bound to its parameters."""

    institution: Institution
    contract: Contract

    @classmethod
    def of(cls, institution: Institution, contract: Contract) -> Sender:
        """The sender of `contract`'s dataset, whatever parameters that contract has now."""
        return cls(institution, bind_contract(contract, institution))

    @property
    def code(self) -> str:
        """Code of the institution."""
        return self.institution.code

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.contract.dataset

    @property
    def config(self) -> DatasetConfig:
        """How the institution sends this dataset."""
        return self.institution.datasets[self.dataset]

    @property
    def is_text(self) -> bool:
        """Whether the format holds text, which may be anything, or typed values."""
        return not isinstance(self.config.format, ParquetOptions)

    @cached_property
    def dialect(self) -> Dialect:
        """How the institution writes numbers and times."""
        captured = dict.fromkeys(self.config.columns_from_key.values(), "")
        return sender_format(self.institution, self.dataset, captured).dialect

    def dialect_of(self, column: str) -> Dialect:
        """The same for one column, whose formats the contract may declare."""
        return column_dialect(self.dialect, self.contract.formats.get(column))

    @property
    def supplied(self) -> frozenset[str]:
        """Contract columns that do not stand in the files."""
        return frozenset(self.config.constants) | frozenset(self.config.columns_from_key)

    @cached_property
    def names(self) -> dict[str, str]:
        """Contract column -> name in the file, in the order of the file."""
        theirs: dict[str, str] = {}
        for name, column in self.config.columns.items():
            theirs.setdefault(column, name)
        theirs = {column: name for name, column in self.contract.sources.items()} | theirs
        sent = [c.name for c in self.contract.sender_columns if c.name not in self.supplied]
        names = {name: theirs.get(name, name) for name in sent}
        order = getattr(self.config.format, "columns", ())
        return dict(sorted(names.items(), key=lambda item: order.index(item[1]) if item[1] in order else -1))

    def instants(self, date: dt.date) -> pl.Series:
        """The seconds of the business date's session (UTC) that the sender's own notation can express.

        A format without seconds leaves the whole minutes; an hour that the clocks repeat is left out.
        """
        start = dt.datetime.combine(date, OPENS)
        naive = pl.datetime_range(start, start + dt.timedelta(seconds=SESSION_SECONDS - 1), "1s", eager=True)
        zone = self.contract.parameters.get("time_zone", self.institution.time_zone)
        local = naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
        instants = local.dt.convert_time_zone("UTC").cast(UTC_MICROSECONDS).drop_nulls()
        if self.is_text:
            read = cast_series(to_text(instants, self.dialect), UTC_MICROSECONDS, self.dialect)
            instants = instants.filter((read == instants).fill_null(False))
        if instants.is_empty():
            raise ConfigurationError(
                f"institution {self.code} dataset {self.dataset} times on {date}",
                found=f"formats {', '.join(self.dialect.datetime_formats)}",
                expected="a format that can express at least one time of the day",
            )
        return instants

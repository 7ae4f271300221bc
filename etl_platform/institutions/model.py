"""An institution (tenant) as its file describes it, validated by pydantic: an unknown field is an error.

Belongs here: the shape of an institution file. Not here: reading the files (`loader.py`), keys (`key_pattern.py`).
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from etl_platform.contracts.declared.time_formats import require_formats
from etl_platform.contracts.identifiers import ALLOWED
from etl_platform.institutions.ignored import require_ignore_pattern
from etl_platform.institutions.key_pattern import KeyPattern, compile_pattern
from etl_platform.limits import BATCH_ROWS, BATCH_ROWS_AT_MOST
from etl_platform.readers.options import CsvOptions, FormatOptions, JsonOptions, ReadLimits

DEFAULT_KEY_PATTERN = "{institution}/{dataset}/{date:%Y-%m-%d}/..."
DriftPolicy = Literal["ignore", "warn", "add", "fail"]
# In the time zone database, but no zone of its own: Polars knows neither.
_NO_ZONES = {"Factory", "localtime"}
_RESERVED_SCHEMA = re.compile(r"pg_.*|public|main|information_schema")


@cache
def _zones() -> set[str]:
    """Every zone that the machine knows: a walk through hundreds of files."""
    return zoneinfo.available_timezones()


def _known_zone(name: str) -> str:
    if name in _NO_ZONES or name not in _zones():
        raise ValueError(f"found {name!r}; expected an IANA time zone such as Europe/Zurich")
    return name


def _portable_name(name: str) -> str:
    if not ALLOWED.fullmatch(name):
        raise ValueError(f"found {name!r}; expected lower-case letters, digits and underscores, at most 63")
    return name


def _is_pattern(text: str) -> str:
    KeyPattern(text)
    return text


def _is_root(url: str) -> str:
    if "://" in url and not url.startswith(("s3://", "file://")):
        raise ValueError(f"found {url!r}; expected a folder, file:///folder or s3://bucket/prefix")
    # One root, one spelling: with and without the slash would be two, each with strangers in it.
    return url.rstrip("/") or url


def _no_marker(pattern: str) -> str:
    """A key whose own part has the form of a marker's name would be ignored, and nobody told."""
    marker = next((part for part in pattern.split("/") if part.startswith(("_", "."))), None)
    if marker is not None and marker != "...":
        raise ValueError(
            f"found part {marker!r} in {pattern!r}, whose objects would be ignored as markers; expected "
            "parts that begin with neither '_' nor '.'"
        )
    return pattern


def _schema_is_free(name: str) -> str:
    if _RESERVED_SCHEMA.fullmatch(name):
        raise ValueError(f"found {name!r}, which databases keep for themselves; expected a schema of its own")
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]
Name = Annotated[str, AfterValidator(_portable_name)]
Pattern = Annotated[str, AfterValidator(_is_pattern), AfterValidator(_no_marker)]
Ignore = Annotated[str, AfterValidator(require_ignore_pattern)]
Root = Annotated[str, Field(min_length=1), AfterValidator(_is_root)]
Currency = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{2,9}$")]
Schema = Annotated[Name, AfterValidator(_schema_is_free)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumberFormat(_Strict):
    """How the sender writes numbers in text files."""

    decimal: str = Field(default=".", min_length=1, max_length=1)
    thousands: str = Field(default="", max_length=1)

    @model_validator(mode="after")
    def _marks_differ(self) -> NumberFormat:
        if self.decimal == self.thousands:
            raise ValueError(f"found {self.decimal!r} as decimal and thousands mark; expected two different marks")
        for mark in (self.decimal, self.thousands):
            if mark.isalnum() or mark in ("+", "-", "\0"):
                raise ValueError(f"found {mark!r} as mark; expected one that is no letter, digit or sign")
        return self


class TimeFormat(_Strict):
    """How the sender writes dates and times. No format: ISO 8601. `time_zone`: of times that carry no offset
    (default: the institution's)."""

    formats: tuple[str, ...] = ()
    date_formats: tuple[str, ...] = ()
    time_zone: TimeZone | None = None

    @model_validator(mode="after")
    def _formats_are_certain(self) -> TimeFormat:
        require_formats(self.formats, are_dates=False)
        require_formats(self.date_formats, are_dates=True)
        return self


class QualityLimits(_Strict):
    """Above `largest_quarantined_share` (0..1) of quarantined rows nothing of a partition is published."""

    largest_quarantined_share: float = Field(default=0.10, ge=0, le=1)


class DatasetConfig(_Strict):
    """How one institution sends one dataset.

    columns: sender's column name -> contract's. columns_from_key: contract's column -> name captured by the key
    pattern (e.g. `symbol`, where the file has no such column). constants: contract's column -> fixed text.
    parameters: of the contract (`symbol_pattern`, ...).
    """

    format: FormatOptions = CsvOptions()
    key_pattern: Pattern | None = None
    numbers: NumberFormat = NumberFormat()
    times: TimeFormat = TimeFormat()
    columns: dict[str, str] = Field(default_factory=dict)
    columns_from_key: dict[str, str] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    null_texts: tuple[str, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    quality: QualityLimits | None = None
    drift_policy: DriftPolicy | None = None
    limits: ReadLimits = ReadLimits()

    @model_validator(mode="after")
    def _encoding_is_known(self) -> DatasetConfig:
        if isinstance(self.format, CsvOptions | JsonOptions):
            try:
                # Python also keeps codecs that are no text encoding (base64, rot13).
                "a,1\n".encode(self.format.encoding).decode(self.format.encoding)
            except (LookupError, UnicodeError):
                raise ValueError(
                    f"found encoding {self.format.encoding!r}; expected one Python knows, e.g. utf-8"
                ) from None
        return self

    @model_validator(mode="after")
    def _columns_have_one_source(self) -> DatasetConfig:
        twice = self.columns_from_key.keys() & self.constants.keys()
        if twice:
            raise ValueError(
                f"found {', '.join(sorted(twice))} in columns_from_key and constants; expected one of them"
            )
        return self

    @model_validator(mode="after")
    def _headerless_csv_has_names(self) -> DatasetConfig:
        if isinstance(self.format, CsvOptions) and not self.format.header and not self.format.columns:
            raise ValueError(
                "found `header: false` without `columns`; expected the names of the columns in their order"
            )
        return self


class CurrencyUse(_Strict):
    """First and last business date on which a sender's currency code counts. Neither: always."""

    first: dt.date | None = None
    last: dt.date | None = None

    @model_validator(mode="after")
    def _is_a_span(self) -> CurrencyUse:
        if self.first and self.last and self.first > self.last:
            raise ValueError(f"found first {self.first} after last {self.last}; expected the first day first")
        return self

    @property
    def as_parameter(self) -> list[str | None]:
        """For `contracts/datasets/currencies.py`."""
        return [day.isoformat() if day else None for day in (self.first, self.last)]


class Institution(_Strict):
    """One sender of files. `landing` and `credentials` are set where it has a bucket or keys of its own:
    `credentials: ACME` reads ACME_AWS_ACCESS_KEY_ID and ACME_AWS_SECRET_ACCESS_KEY from the environment.
    `ignore`: globs of keys below the institution's prefix that are no deliveries (`ignored.py`).
    `currencies`: codes beyond ISO 4217, or other dates of known ones.
    """

    code: Schema
    name: str = Field(min_length=1)
    time_zone: TimeZone = "UTC"
    owner: str = "data-engineering@example.com"
    landing: Root | None = None
    credentials: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    warehouse_schema: Schema | None = None
    key_pattern: Pattern = DEFAULT_KEY_PATTERN
    ignore: tuple[Ignore, ...] = ()
    batch_rows: int = Field(default=BATCH_ROWS, ge=1, le=BATCH_ROWS_AT_MOST)
    quality: QualityLimits = QualityLimits()
    drift_policy: DriftPolicy = "warn"
    currencies: dict[Currency, CurrencyUse] = Field(default_factory=dict)
    datasets: dict[Name, DatasetConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _credentials_have_a_root(self) -> Institution:
        if self.credentials and not self.landing:
            raise ValueError(f"found `credentials: {self.credentials}` without `landing:`; expected a landing root too")
        return self

    @model_validator(mode="after")
    def _patterns_serve(self) -> Institution:
        for dataset, config in self.datasets.items():
            pattern = self.pattern(dataset)
            unknown = set(config.columns_from_key.values()) - pattern.names
            if unknown:
                raise ValueError(
                    f"datasets.{dataset}.columns_from_key: found {', '.join(sorted(unknown))}; "
                    f"expected names that the key pattern {pattern.text!r} captures"
                )
            if not pattern.has_dataset and config.key_pattern is None and len(self.datasets) > 1:
                raise ValueError(
                    f"key_pattern: found {pattern.text!r}; expected {{dataset}} in it, or one pattern per dataset"
                )
        return self

    @property
    def schema_name(self) -> str:
        """Warehouse schema of this institution's tables."""
        return self.warehouse_schema or self.code

    def pattern(self, dataset: str) -> KeyPattern:
        """The key pattern by which this institution delivers `dataset`."""
        return compile_pattern(self.datasets[dataset].key_pattern or self.key_pattern)

    def largest_quarantined_share(self, dataset: str) -> float:
        """The limit that holds for `dataset`."""
        return (self.datasets[dataset].quality or self.quality).largest_quarantined_share

    def drift_policy_of(self, dataset: str) -> DriftPolicy:
        """What happens on schema drift of `dataset`."""
        return self.datasets[dataset].drift_policy or self.drift_policy

    def contract_parameters(self, dataset: str) -> dict[str, Any]:
        """Parameters for `Contract.bind`: the dataset's own, and the institution's time zone and currencies."""
        own = {code: use.as_parameter for code, use in self.currencies.items()}
        further = {"currencies": own} if own else {}
        return {"time_zone": self.time_zone, **further, **self.datasets[dataset].parameters}

"""The `anomalies` dataset: what a sender found unusual in its own data."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel
from etl_platform.contracts.datasets.symbols import MARKET_PARAMETERS, SYMBOL_SENTENCE, symbol_matches
from etl_platform.contracts.datasets.timing import not_in_future, within_business_date
from etl_platform.contracts.rules import rule

Timestamp = Annotated[pl.Datetime, "us", "UTC"]

KINDS = (
    "price_spike", "price_drop", "price_gap", "stale_price", "volume_spike", "volume_drop", "volatility_spike",
    "spread_widening", "outlier",
)  # fmt: skip
SEVERITIES = ("low", "medium", "high", "critical")

LARGEST = 1e15
"""Beyond 9e15 a double skips whole units. The bound also refuses infinity and NaN, which compares above it."""


class Anomalies(ContractModel):
    """Anomalies: observations of one symbol that differ from what was expected, by kind, score and severity.

    Scores of all kinds share one scale, 0 (as expected) to 1 (certainly unusual); a sender whose method gives an
    unbounded figure, such as a z-score, maps it onto that scale. Values are statistics, kept as 64-bit floats.
    """

    _parameters: ClassVar[dict[str, Any]] = dict(MARKET_PARAMETERS)

    symbol: pl.String = pa.Field(description="Ticker of the instrument as the exchange writes it.")
    timestamp: Timestamp = pa.Field(description="When the anomaly was observed (UTC).")
    kind: pl.String = pa.Field(description=f"What is unusual: {', '.join(KINDS)}.")
    score: pl.Float64 = pa.Field(description="How unusual: 0 (as expected) to 1 (certainly unusual).")
    severity: pl.String = pa.Field(description=f"How much it matters: {', '.join(SEVERITIES)}.")
    observed_value: pl.Float64 = pa.Field(description="The figure that was observed, in the unit of its kind.")
    expected_value: pl.Float64 = pa.Field(description="The figure that was expected, in the same unit.")
    description: pl.String = pa.Field(nullable=True, description="Free text for people, if any.")

    @rule(SYMBOL_SENTENCE, "symbol")
    def symbol_is_well_formed(cls) -> pl.Expr:
        return symbol_matches(cls._parameters)

    @rule("The kind is one of the contract's kinds of anomaly.", "kind")
    def kind_is_known(cls) -> pl.Expr:
        return pl.col("kind").is_in(KINDS)

    @rule("The score lies in 0..1.", "score")
    def score_is_in_range(cls) -> pl.Expr:
        return pl.col("score").is_between(0, 1)

    @rule("The severity is low, medium, high or critical.", "severity")
    def severity_is_known(cls) -> pl.Expr:
        return pl.col("severity").is_in(SEVERITIES)

    @rule("The observed value lies within ±1e15.", "observed_value")
    def observed_value_is_in_range(cls) -> pl.Expr:
        return pl.col("observed_value").is_between(-LARGEST, LARGEST)

    @rule("The expected value lies within ±1e15.", "expected_value")
    def expected_value_is_in_range(cls) -> pl.Expr:
        return pl.col("expected_value").is_between(-LARGEST, LARGEST)

    @rule("The anomaly was observed on the business date, give or take the institution's tolerance.", "timestamp")
    def timestamp_is_in_business_date(cls) -> pl.Expr:
        return within_business_date("timestamp", cls._parameters)

    @rule("The anomaly was not observed in the future.", "timestamp")
    def timestamp_is_not_in_future(cls) -> pl.Expr:
        return not_in_future("timestamp", cls._parameters)


ANOMALIES = Contract.from_model(
    "anomalies",
    Anomalies,
    key=("symbol", "timestamp", "kind"),
    closed=("symbol", "kind"),
    event_time="timestamp",
)

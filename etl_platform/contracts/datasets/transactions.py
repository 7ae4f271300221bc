"""The `transactions` dataset: movements of money on accounts."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel, Watched
from etl_platform.contracts.datasets.currencies import CURRENCY_PARAMETERS, CURRENCY_SENTENCE, is_active
from etl_platform.contracts.datasets.timing import not_in_future, within_business_date
from etl_platform.contracts.rules import rule

Amount = Annotated[pl.Decimal, 18, 4]
Timestamp = Annotated[pl.Datetime, "us", "UTC"]

CREDIT_TYPES = ("deposit", "transfer_in", "interest", "dividend", "refund")
DEBIT_TYPES = ("withdrawal", "transfer_out", "fee", "payment", "card")
EITHER_TYPES = ("adjustment", "reversal")


class Transactions(ContractModel):
    """Account transactions: one booked movement of money on one account.

    Amounts are exact decimals from the account holder's view: credits are positive, debits negative.
    """

    _parameters: ClassVar[dict[str, Any]] = {
        "time_zone": "UTC",
        "business_date_tolerance_hours": 12,
        "clock_skew_minutes": 5,
        **CURRENCY_PARAMETERS,
    }

    transaction_id: pl.String = pa.Field(description="Identifier of the movement, unique within the institution.")
    account_id: pl.String = pa.Field(description="Account on which the money moved.")
    timestamp: Timestamp = pa.Field(description="When the movement was booked (UTC).")
    amount: Amount = pa.Field(description="Signed amount in `currency`: credits positive, debits negative.")
    currency: pl.String = pa.Field(description="ISO 4217 code of the amount's currency.")
    type: pl.String = pa.Field(
        description=f"Kind of movement: {', '.join(CREDIT_TYPES)} (credit); {', '.join(DEBIT_TYPES)} (debit); "
        f"{', '.join(EITHER_TYPES)} (either)."
    )
    description: pl.String = pa.Field(nullable=True, description="Free text of the booking, if any.")

    @rule("The transaction identifier is not empty text.", "transaction_id")
    def transaction_id_is_not_empty(cls) -> pl.Expr:
        return pl.col("transaction_id").str.strip_chars() != ""

    @rule("The account is 1 to 34 letters, digits, hyphens or underscores (an IBAN fits).", "account_id")
    def account_id_is_well_formed(cls) -> pl.Expr:
        return pl.col("account_id").str.contains(r"^[A-Za-z0-9_-]{1,34}$")

    @rule(CURRENCY_SENTENCE, "currency")
    def currency_is_iso_4217(cls) -> pl.Expr:
        return is_active(cls._parameters["currencies"])

    @rule("The type is one of the contract's kinds of movement.", "type")
    def type_is_known(cls) -> pl.Expr:
        return pl.col("type").is_in((*CREDIT_TYPES, *DEBIT_TYPES, *EITHER_TYPES))

    @rule("The amount is not zero.", "amount")
    def amount_is_not_zero(cls) -> pl.Expr:
        return pl.col("amount") != 0

    @rule("A credit (deposit, transfer in, interest, dividend, refund) is positive.", "amount", "type")
    def credit_is_positive(cls) -> pl.Expr:
        return ~pl.col("type").is_in(CREDIT_TYPES) | (pl.col("amount") >= 0)

    @rule("A debit (withdrawal, transfer out, fee, payment, card) is negative.", "amount", "type")
    def debit_is_negative(cls) -> pl.Expr:
        return ~pl.col("type").is_in(DEBIT_TYPES) | (pl.col("amount") <= 0)

    @rule("An adjustment or reversal says why in its description.", "description", "type")
    def adjustment_is_explained(cls) -> pl.Expr:
        text = pl.col("description").fill_null("").str.strip_chars()
        return ~pl.col("type").is_in(EITHER_TYPES) | (text != "")

    @rule("The movement was booked on the business date, give or take the institution's tolerance.", "timestamp")
    def timestamp_is_in_business_date(cls) -> pl.Expr:
        return within_business_date("timestamp", cls._parameters)

    @rule("The movement was not booked in the future.", "timestamp")
    def timestamp_is_not_in_future(cls) -> pl.Expr:
        return not_in_future("timestamp", cls._parameters)


TRANSACTIONS = Contract.from_model(
    "transactions",
    Transactions,
    key=("transaction_id",),
    closed=("account_id",),
    event_time="timestamp",
    watched=(Watched("amount", by=("currency",)),),
    categories=("currency",),
)

"""The `accounts` dataset: all accounts of an institution as they stand on a business date."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel, Watched
from etl_platform.contracts.datasets.currencies import CURRENCY_PARAMETERS, CURRENCY_SENTENCE, is_active
from etl_platform.contracts.rules import rule
from etl_platform.contracts.table import BUSINESS_DATE

Balance = Annotated[pl.Decimal, 18, 4]

ACCOUNT_TYPES = ("checking", "savings", "brokerage", "custody", "margin", "credit", "loan", "retirement")
CLOSED = "closed"
LIVE = ("open", "frozen", "dormant")
RISK_CLASSES = ("low", "medium", "high")


class Accounts(ContractModel):
    """Accounts: every account of the institution as it stands at the end of the business date.

    Each delivery is a whole snapshot, not a list of changes. Balances are exact decimals from the account holder's
    view: negative is owed.
    """

    _parameters: ClassVar[dict[str, Any]] = dict(CURRENCY_PARAMETERS)

    account_id: pl.String = pa.Field(description="Identifier of the account, as in `transactions`.")
    customer_id: pl.String = pa.Field(description="Identifier of the customer who holds the account.")
    account_type: pl.String = pa.Field(description=f"Kind of account: {', '.join(ACCOUNT_TYPES)}.")
    status: pl.String = pa.Field(description=f"State of the account: {', '.join((*LIVE, CLOSED))}.")
    currency: pl.String = pa.Field(description="ISO 4217 code of the account's currency.")
    opened_date: pl.Date = pa.Field(description="Day on which the account was opened.")
    closed_date: pl.Date = pa.Field(nullable=True, description="Day on which it was closed; missing while it is not.")
    balance: Balance = pa.Field(description="Balance in `currency` at the end of the business date.")
    risk_class: pl.String = pa.Field(
        nullable=True, description=f"Risk of the customer relationship, where rated: {', '.join(RISK_CLASSES)}."
    )

    @rule("The account is 1 to 34 letters, digits, hyphens or underscores (an IBAN fits).", "account_id")
    def account_id_is_well_formed(cls) -> pl.Expr:
        return pl.col("account_id").str.contains(r"^[A-Za-z0-9_-]{1,34}$")

    @rule("The customer identifier is not empty text.", "customer_id")
    def customer_id_is_not_empty(cls) -> pl.Expr:
        return pl.col("customer_id").str.strip_chars() != ""

    @rule("The account type is one of the contract's kinds of account.", "account_type")
    def account_type_is_known(cls) -> pl.Expr:
        return pl.col("account_type").is_in(ACCOUNT_TYPES)

    @rule("The status is open, frozen, dormant or closed.", "status")
    def status_is_known(cls) -> pl.Expr:
        return pl.col("status").is_in((*LIVE, CLOSED))

    @rule(CURRENCY_SENTENCE, "currency")
    def currency_is_iso_4217(cls) -> pl.Expr:
        return is_active(cls._parameters["currencies"])

    @rule("The risk class is low, medium or high.", "risk_class")
    def risk_class_is_known(cls) -> pl.Expr:
        return pl.col("risk_class").is_in(RISK_CLASSES)

    @rule("The account was opened on the business date or before.", "opened_date")
    def opened_date_is_not_after_business_date(cls) -> pl.Expr:
        return pl.col("opened_date") <= pl.col(BUSINESS_DATE)

    @rule("The account was closed on the business date or before.", "closed_date")
    def closed_date_is_not_after_business_date(cls) -> pl.Expr:
        return pl.col("closed_date") <= pl.col(BUSINESS_DATE)

    @rule("The account was not closed before it was opened.", "closed_date", "opened_date")
    def closed_date_is_not_before_opened_date(cls) -> pl.Expr:
        return pl.col("closed_date") >= pl.col("opened_date")

    @rule("A closed account has a date of closing.", "closed_date", "status")
    def closed_account_has_closed_date(cls) -> pl.Expr:
        return (pl.col("status") != CLOSED) | pl.col("closed_date").is_not_null()

    @rule("An open, frozen or dormant account has no date of closing.", "closed_date", "status")
    def live_account_has_no_closed_date(cls) -> pl.Expr:
        return ~pl.col("status").is_in(LIVE) | pl.col("closed_date").is_null()

    @rule("The balance of a closed account is zero.", "balance", "status")
    def closed_account_has_no_balance(cls) -> pl.Expr:
        return (pl.col("status") != CLOSED) | (pl.col("balance") == 0)


ACCOUNTS = Contract.from_model(
    "accounts",
    Accounts,
    key=("account_id",),
    closed=("account_id",),
    watched=(Watched("balance", by=("currency",)),),
    categories=("currency",),
)

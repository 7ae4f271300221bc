"""`gold/transaction_summary`: silver transactions to exact sums per account, currency and type."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel
from etl_platform.contracts.rules import rule
from etl_platform.gold.table import GoldTable, Money, gold_table


class TransactionSummary(ContractModel):
    """Transaction summary: count and exact sums of each account, currency and type on one business date.

    Amounts are from the account holder's view: credits are positive, debits negative.
    """

    account_id: pl.String = pa.Field(description="Account on which the money moved.")
    currency: pl.String = pa.Field(description="ISO 4217 code of the amounts' currency.")
    type: pl.String = pa.Field(description="Kind of movement.")
    transactions: pl.Int64 = pa.Field(description="Number of movements.")
    amount_sum: Money = pa.Field(description="Sum of all amounts.")
    amount_min: Money = pa.Field(description="Lowest amount (the largest debit where there are debits).")
    amount_max: Money = pa.Field(description="Highest amount.")
    debit_total: Money = pa.Field(description="Sum of the negative amounts; zero or negative.")
    credit_total: Money = pa.Field(description="Sum of the positive amounts; zero or positive.")

    @rule("Debits and credits add up to the sum.", "debit_total", "credit_total", "amount_sum")
    def totals_add_up(cls) -> pl.Expr:
        return pl.col("debit_total") + pl.col("credit_total") == pl.col("amount_sum")

    @rule("Debits are not positive and credits not negative.", "debit_total", "credit_total")
    def totals_have_their_sign(cls) -> pl.Expr:
        return (pl.col("debit_total") <= 0) & (pl.col("credit_total") >= 0)

    @rule("At least one movement was aggregated.", "transactions")
    def transactions_are_counted(cls) -> pl.Expr:
        return pl.col("transactions") > 0


CONTRACT = Contract.from_model(
    "transaction_summary",
    TransactionSummary,
    key=("account_id", "currency", "type"),
    closed=("account_id", "currency", "type"),
)
TABLE = gold_table(CONTRACT)


def transaction_summary(transactions: pl.LazyFrame) -> pl.LazyFrame:
    """One row per account, currency and type of every partition in `transactions` (silver), sorted by that key."""
    amount = pl.col("amount").cast(pl.Decimal(38, 4))
    return (
        transactions.group_by([*TABLE.key, *TABLE.partition_columns])
        .agg(
            pl.len().cast(pl.Int64).alias("transactions"),
            amount.sum().alias("amount_sum"),
            amount.min().alias("amount_min"),
            amount.max().alias("amount_max"),
            amount.filter(amount < 0).sum().alias("debit_total"),
            amount.filter(amount > 0).sum().alias("credit_total"),
        )
        .select(TABLE.polars_schema.names())
        .sort([*TABLE.partition_columns, *TABLE.key])
    )


TRANSACTION_SUMMARY = GoldTable(
    contract=CONTRACT,
    table=TABLE,
    source=("silver", "transactions"),
    compute=transaction_summary,
    lineage={
        "account_id": ("account_id",),
        "currency": ("currency",),
        "type": ("type",),
        "transactions": ("transaction_id",),
        **dict.fromkeys(("amount_sum", "amount_min", "amount_max", "debit_total", "credit_total"), ("amount",)),
    },
    counts="transactions",
)

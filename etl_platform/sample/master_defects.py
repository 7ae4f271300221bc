"""Ways to break each rule of transactions, accounts and products, and what a corrected row says instead."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from etl_platform.sample.defect import FAR_AHEAD, LONG_AGO, Values, fixed
from etl_platform.sample.market_defects import TIMES

_AMOUNT = pl.col("amount").abs()
_NO_DATE = pl.lit(None, pl.Date)


def _decimal(text: str, scale: int) -> pl.Expr:
    return pl.lit(Decimal(text)).cast(pl.Decimal(18, scale))


_EMPTY_AND_CLOSED = {"status": pl.lit("closed"), "balance": _decimal("0", 4)}

TRANSACTIONS = {
    "transaction_id_is_not_empty": fixed({"transaction_id": pl.lit("   ")}, "transaction_id_is_visible"),
    # A character that every encoding has: a sender's file may be in any.
    "transaction_id_is_visible": fixed({"transaction_id": pl.col("transaction_id") + " "}),
    "account_id_is_well_formed": fixed({"account_id": pl.lit("ACC 12/3 ?")}),
    "currency_is_iso_4217": fixed({"currency": pl.lit("EURO")}),
    "type_is_known": fixed({"type": pl.lit("cash_back")}),
    "amount_is_not_zero": fixed({"amount": _decimal("0", 4)}),
    "credit_is_positive": fixed({"type": pl.lit("deposit"), "amount": -_AMOUNT}),
    "debit_is_negative": fixed({"type": pl.lit("card"), "amount": _AMOUNT}),
    "adjustment_is_explained": fixed({"type": pl.lit("adjustment"), "description": pl.lit(None, pl.String)}),
    **TIMES,
}

ACCOUNTS = {
    "account_id_is_well_formed": fixed({"account_id": pl.lit("ACC 12/3 ?")}),
    "customer_id_is_not_empty": fixed({"customer_id": pl.lit("   ")}, "customer_id_is_visible"),
    "customer_id_is_visible": fixed({"customer_id": pl.col("customer_id") + " "}),
    "account_type_is_known": fixed({"account_type": pl.lit("piggy_bank")}),
    "status_is_known": fixed({"status": pl.lit("suspended")}),
    "currency_is_iso_4217": fixed({"currency": pl.lit("EURO")}),
    "risk_class_is_known": fixed({"risk_class": pl.lit("extreme")}),
    "opened_date_is_not_after_business_date": fixed(
        {"opened_date": pl.lit(FAR_AHEAD), "closed_date": _NO_DATE, "status": pl.lit("open")}
    ),
    "closed_date_is_not_after_business_date": fixed({"closed_date": pl.lit(FAR_AHEAD), **_EMPTY_AND_CLOSED}),
    "closed_date_is_not_before_opened_date": fixed(
        {"closed_date": pl.col("opened_date").dt.offset_by("-1d"), **_EMPTY_AND_CLOSED}
    ),
    "closed_account_has_closed_date": fixed({"closed_date": _NO_DATE, **_EMPTY_AND_CLOSED}),
    "live_account_has_no_closed_date": fixed({"closed_date": pl.col("opened_date"), "status": pl.lit("dormant")}),
    "closed_account_has_no_balance": fixed(
        {"closed_date": pl.col("opened_date"), "status": pl.lit("closed"), "balance": _decimal("0.01", 4)}
    ),
}

PRODUCTS = {
    "product_id_is_well_formed": fixed({"product_id": pl.lit("PRD 12/3 ?")}),
    "name_is_not_empty": fixed({"name": pl.lit("   ")}),
    "product_type_is_known": fixed({"product_type": pl.lit("collectible")}),
    "currency_is_iso_4217": fixed({"currency": pl.lit("EURO")}),
    # An announced product may be issued later; one of unknown status may not.
    "status_is_known": fixed({"status": pl.lit("retired"), "issue_date": pl.lit(LONG_AGO)}),
    "risk_class_is_in_range": fixed({"risk_class": pl.lit(8, pl.Int64)}),
    "maturity_is_after_issue": fixed(
        {"maturity_date": pl.lit(LONG_AGO), "issue_date": pl.lit(LONG_AGO), "status": pl.lit("active")}
    ),
    "issue_is_not_after_business_date": fixed(
        {"issue_date": pl.lit(FAR_AHEAD), "maturity_date": _NO_DATE, "status": pl.lit("active")}
    ),
    "matured_product_has_reached_maturity": fixed(
        {"maturity_date": pl.lit(FAR_AHEAD), "issue_date": pl.lit(LONG_AGO), "status": pl.lit("matured")}
    ),
    "isin_is_well_formed": fixed({"isin": pl.lit("us0378331005")}),
    "isin_check_digit_is_right": fixed({"isin": pl.lit("US0378331006")}),
    "price_is_positive": fixed({"price": _decimal("0", 8)}),
}

CORRECTIONS: dict[str, Values] = {
    "transactions": {"amount": pl.col("amount") + pl.col("amount").sign() * pl.lit(Decimal("1.00"))},
    "accounts": {"customer_id": pl.col("customer_id") + "-1"},
    "products": {"risk_class": pl.col("risk_class") % 7 + 1},
}

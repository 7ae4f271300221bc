"""The `products` dataset: all products that an institution offers or holds, on a business date."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel
from etl_platform.contracts.datasets import isin
from etl_platform.contracts.datasets.currencies import CURRENCY_PARAMETERS, CURRENCY_SENTENCE, is_active
from etl_platform.contracts.rules import rule
from etl_platform.contracts.table import BUSINESS_DATE

Price = Annotated[pl.Decimal, 18, 8]

PRODUCT_TYPES = (
    "equity", "etf", "fund", "bond", "note", "certificate", "structured_product", "option", "future", "deposit", "loan",
)  # fmt: skip
ANNOUNCED, MATURED = "announced", "matured"
STATUSES = (ANNOUNCED, "active", "suspended", MATURED, "withdrawn")
LOWEST_RISK, HIGHEST_RISK = 1, 7


class Products(ContractModel):
    """Products: every product of the institution as it stands on the business date.

    Each delivery is a whole snapshot, not a list of changes. Prices are exact decimals.
    """

    _parameters: ClassVar[dict[str, Any]] = dict(CURRENCY_PARAMETERS)

    product_id: pl.String = pa.Field(description="Identifier of the product, unique within the institution.")
    name: pl.String = pa.Field(description="Name of the product as clients read it.")
    product_type: pl.String = pa.Field(description=f"Kind of product: {', '.join(PRODUCT_TYPES)}.")
    currency: pl.String = pa.Field(description="ISO 4217 code of the product's currency.")
    issue_date: pl.Date = pa.Field(description="Day of issue.")
    maturity_date: pl.Date = pa.Field(nullable=True, description="Day of repayment; missing where there is none.")
    status: pl.String = pa.Field(description=f"State of the product: {', '.join(STATUSES)}.")
    risk_class: pl.Int64 = pa.Field(description="Summary risk indicator: 1 (lowest risk) to 7 (highest).")
    isin: pl.String = pa.Field(nullable=True, description="ISIN (ISO 6166), where the product has one.")
    price: Price = pa.Field(nullable=True, description="Latest price in `currency`, where there is one.")

    @rule("The product is 1 to 34 letters, digits, hyphens or underscores.", "product_id")
    def product_id_is_well_formed(cls) -> pl.Expr:
        return pl.col("product_id").str.contains(r"^[A-Za-z0-9_-]{1,34}$")

    @rule("The name is not empty text.", "name")
    def name_is_not_empty(cls) -> pl.Expr:
        return pl.col("name").str.strip_chars() != ""

    @rule("The product type is one of the contract's kinds of product.", "product_type")
    def product_type_is_known(cls) -> pl.Expr:
        return pl.col("product_type").is_in(PRODUCT_TYPES)

    @rule(CURRENCY_SENTENCE, "currency")
    def currency_is_iso_4217(cls) -> pl.Expr:
        return is_active(cls._parameters["currencies"])

    @rule("The status is announced, active, suspended, matured or withdrawn.", "status")
    def status_is_known(cls) -> pl.Expr:
        return pl.col("status").is_in(STATUSES)

    @rule("The risk class is 1 to 7.", "risk_class")
    def risk_class_is_in_range(cls) -> pl.Expr:
        return pl.col("risk_class").is_between(LOWEST_RISK, HIGHEST_RISK)

    @rule("The product matures after its issue.", "maturity_date", "issue_date")
    def maturity_is_after_issue(cls) -> pl.Expr:
        return pl.col("maturity_date") > pl.col("issue_date")

    @rule("Only an announced product is issued after the business date.", "issue_date", "status")
    def issue_is_not_after_business_date(cls) -> pl.Expr:
        return (pl.col("status") == ANNOUNCED) | (pl.col("issue_date") <= pl.col(BUSINESS_DATE))

    @rule("A matured product has a maturity date, and it has come.", "maturity_date", "status")
    def matured_product_has_reached_maturity(cls) -> pl.Expr:
        has_come = (pl.col("maturity_date") <= pl.col(BUSINESS_DATE)).fill_null(False)
        return (pl.col("status") != MATURED) | has_come

    @rule("The ISIN is two capital letters, nine capital letters or digits, and a digit.", "isin")
    def isin_is_well_formed(cls) -> pl.Expr:
        return isin.is_well_formed(pl.col("isin"))

    @rule("The last digit of the ISIN is the check digit of the rest.", "isin")
    def isin_check_digit_is_right(cls) -> pl.Expr:
        return isin.has_right_check_digit(pl.col("isin"))

    @rule("The price is positive.", "price")
    def price_is_positive(cls) -> pl.Expr:
        return pl.col("price") > 0


PRODUCTS = Contract.from_model(
    "products", Products, key=("product_id",), closed=("product_id",), categories=("currency",)
)

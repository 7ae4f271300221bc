"""Plausible accounts and products: the same ones every day, with balances and prices that move. No faults."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
import polars as pl

from etl_platform.contracts.datasets.accounts import ACCOUNT_TYPES, CLOSED, RISK_CLASSES
from etl_platform.contracts.datasets.isin import with_check_digit
from etl_platform.contracts.datasets.products import ANNOUNCED, HIGHEST_RISK, LOWEST_RISK, MATURED, PRODUCT_TYPES
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.randomness import stream
from etl_platform.sample.transactions import CENT, CURRENCIES

ACCOUNT_STATUSES = {"open": 0.9, "dormant": 0.04, "frozen": 0.01, CLOSED: 0.05}
PRODUCT_STATUSES = {"active": 0.88, "suspended": 0.03, ANNOUNCED: 0.03, MATURED: 0.05, "withdrawn": 0.01}
PERPETUAL = ("equity", "etf", "fund")
COUNTRIES = ("CH", "DE", "GB", "LU", "SG", "US")
FIRST_DAY, DAYS = dt.date(2005, 1, 3), 7_000
"""Accounts and products began on some day of the nineteen years from here on."""


def accounts(sender: Sender, date: dt.date, day: int, rows: int, seed: int) -> pl.DataFrame:
    """`rows` accounts, those of the sample's transactions among them."""
    random = stream(seed, "accounts", sender.code)
    number = np.arange(rows)
    cents = np.rint(
        random.lognormal(13, 1.6, rows) * (1 + 0.01 * stream(seed, "balances", sender.code, day).random(rows))
    )
    frame = pl.DataFrame(
        {
            "number": number,
            "customer": number // 2,
            "account_type": _pick(random, ACCOUNT_TYPES, rows),
            "status": _status(sender, random, ACCOUNT_STATUSES, rows),
            "currency": pl.Series(CURRENCIES).gather(number % len(CURRENCIES)),
            "opened_date": _days(random, rows),
            "term": random.integers(30, 3_000, rows),
            "cents": cents.astype(np.int64),
            "risk_class": _pick(random, (*RISK_CLASSES, None), rows),
        }
    ).with_columns(pl.min_horizontal("opened_date", pl.lit(date)))
    is_closed = pl.col("status") == CLOSED
    is_owed = pl.col("account_type").is_in(["credit", "loan", "margin"])
    balance = pl.when(is_closed).then(0).when(is_owed).then(-pl.col("cents")).otherwise(pl.col("cents"))
    return frame.select(
        account_id=pl.lit("ACC-") + pl.col("number").cast(pl.String).str.zfill(8),
        customer_id=pl.lit("CUS-") + pl.col("customer").cast(pl.String).str.zfill(7),
        account_type="account_type",
        status="status",
        currency="currency",
        opened_date="opened_date",
        closed_date=pl.when(is_closed).then(pl.min_horizontal(_after("opened_date"), pl.lit(date))),
        # The yen has no cents.
        balance=(
            pl.when(pl.col("currency") == "JPY").then(balance * 100).otherwise(balance) * pl.lit(CENT)
        ).cast(pl.Decimal(18, 4)),
        risk_class="risk_class",
    )  # fmt: skip


def products(sender: Sender, date: dt.date, day: int, rows: int, seed: int) -> pl.DataFrame:
    """`rows` products; three in four have an ISIN, nine in ten a price."""
    random = stream(seed, "products", sender.code)
    country = _pick(random, COUNTRIES, rows)
    # Half of the national numbers begin with a letter, as in Germany's or America's.
    lead = pl.Series([f"{letter}0" for letter in "ABCDEFGH"] + [f"{digit}0" for digit in range(8)])
    body = (
        country
        + lead.gather(random.integers(0, len(lead), rows))
        + pl.Series(np.arange(rows)).cast(pl.String).str.zfill(7)
    )
    cents = np.rint(random.lognormal(9, 1, rows) * (1 + 0.01 * stream(seed, "quotes", sender.code, day).random(rows)))
    frame = pl.DataFrame(
        {
            "number": np.arange(rows),
            "product_type": _pick(random, PRODUCT_TYPES, rows),
            "currency": _pick(random, CURRENCIES, rows),
            "status": _status(sender, random, PRODUCT_STATUSES, rows),
            "issue_date": _days(random, rows),
            "term": random.integers(30, 3_000, rows),
            "risk_class": random.integers(LOWEST_RISK, HIGHEST_RISK + 1, rows),
            "isin": with_check_digit(body) if rows else body,
            "listed": random.random(rows) < 0.75,
            "cents": cents.astype(np.int64) + 1,
            "priced": random.random(rows) < 0.9,
        }
    )
    is_matured, is_announced = pl.col("status") == MATURED, pl.col("status") == ANNOUNCED
    yesterday, tomorrow = (pl.lit(date + dt.timedelta(days=step)) for step in (-1, 1))
    frame = frame.with_columns(
        product_type=pl.when(is_matured & pl.col("product_type").is_in(PERPETUAL))
        .then(pl.lit("bond"))
        .otherwise("product_type"),
        issue_date=pl.when(is_announced).then(tomorrow).otherwise(pl.min_horizontal("issue_date", yesterday)),
    )
    end = _after("issue_date")
    maturity = (
        pl.when(is_matured).then(pl.min_horizontal(end, pl.lit(date))).otherwise(pl.max_horizontal(end, tomorrow))
    )
    number = pl.col("number").cast(pl.String)
    return frame.select(
        product_id=pl.lit("PRD-") + number.str.zfill(7),
        name=pl.col("product_type").str.replace("_", " ").str.to_titlecase() + " " + number,
        product_type="product_type",
        currency="currency",
        issue_date="issue_date",
        maturity_date=pl.when(~pl.col("product_type").is_in(PERPETUAL)).then(maturity),
        status="status",
        risk_class="risk_class",
        isin=pl.when("listed").then("isin"),
        price=pl.when("priced").then((pl.col("cents") * pl.lit(CENT)).cast(pl.Decimal(18, 8))),
    )


def _pick(random: np.random.Generator, values: tuple[str | None, ...], rows: int) -> pl.Series:
    return pl.Series(values, dtype=pl.String).gather(random.integers(0, len(values), rows))


def _status(sender: Sender, random: np.random.Generator, shares: Mapping[str, float], rows: int) -> pl.Series:
    """By `shares`, or the one that the institution's file fixes for all rows."""
    chosen = random.choice(len(shares), rows, p=list(shares.values()))
    constant = sender.config.constants.get("status")
    return pl.repeat(constant, rows, eager=True) if constant else pl.Series(list(shares)).gather(chosen)


def _days(random: np.random.Generator, rows: int) -> pl.Series:
    return pl.date_range(FIRST_DAY, FIRST_DAY + dt.timedelta(days=DAYS - 1), eager=True).gather(
        random.integers(0, DAYS, rows)
    )


def _after(column: str) -> pl.Expr:
    """`term` days after `column`."""
    return pl.col(column) + pl.duration(days=pl.col("term"))

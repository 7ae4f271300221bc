"""Valid rows of every dataset, generated from the contract's columns and constraints (Hypothesis strategies).

Belongs here: typed values that keep every rule. Not here: how they are written (`dialects.py`).
"""

from __future__ import annotations

import datetime as dt
import string
import unicodedata
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import strategies as st

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.datasets.accounts import ACCOUNT_TYPES, LIVE, RISK_CLASSES
from etl_platform.contracts.datasets.anomalies import KINDS, SEVERITIES
from etl_platform.contracts.datasets.currencies import active_on
from etl_platform.contracts.datasets.isin import with_check_digit
from etl_platform.contracts.datasets.products import PRODUCT_TYPES
from etl_platform.contracts.datasets.technical_indicators import INDICATORS
from etl_platform.contracts.datasets.transactions import CREDIT_TYPES, DEBIT_TYPES, EITHER_TYPES
from etl_platform_tests.support.delivered import DATE

Row = dict[str, Any]

# No NUL: it is refused by rule. No surrogate: no encoding has it. Letters, marks, and all that means something to CSV.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.text(
    st.sampled_from("aZ09 ,;|\t\"'\n\r\\{}[]:#=+-.éß\ufeff\u2028\u0085"), max_size=8
)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=12)


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal(low), Decimal(high), places=places, allow_nan=False)


def _floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


IDENTIFIER = st.text(st.sampled_from(string.ascii_letters + string.digits + "-_"), min_size=1, max_size=34)
_NO_BLANK = st.text(st.sampled_from(string.ascii_letters + "éß'\","), min_size=1, max_size=10)
_DRAWN_AS_NOTHING = "\u115f\u1160\u2800\u3164\uffa0"
SYMBOL = st.text(st.sampled_from(string.ascii_uppercase), min_size=1, max_size=5)
# Within the business date in any time zone that the tests write.
INSTANT = st.datetimes(
    dt.datetime(2025, 1, 15),  # noqa: DTZ001 - given its zone below
    dt.datetime(2025, 1, 15, 23, 59, 59, 999_999),  # noqa: DTZ001
).map(lambda moment: moment.replace(tzinfo=dt.UTC))
_PAST = st.dates(dt.date(1900, 1, 1), DATE)
_FUTURE = st.dates(DATE + dt.timedelta(days=1), dt.date(9999, 12, 31))
_CURRENCIES = active_on(DATE)
_AMOUNT = decimals("0.0001", "99999999999999.9999", 4)


def _identifier(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """`text` behind a letter, without what an identifier may not hold: all that cannot be seen, blanks at its ends."""
    return st.tuples(_NO_BLANK, text).map(lambda parts: "".join(filter(_is_seen, "".join(parts))).strip(" "))


def _is_seen(letter: str) -> bool:
    drawn = unicodedata.category(letter)[0] in "LNPS" and letter not in _DRAWN_AS_NOTHING
    return drawn or letter == " "


@st.composite
def _price(draw: st.DrawFn, text: st.SearchStrategy[str]) -> Row:
    values = sorted(draw(st.tuples(*[decimals("0.01", "1000000", 8)] * 4)))
    first, last = draw(st.permutations(values[1:3]))
    return {
        "symbol": draw(SYMBOL), "timestamp": draw(INSTANT), "open": first, "high": values[3], "low": values[0],
        "close": last, "volume": draw(st.integers(0, 2**63 - 1)),
    }  # fmt: skip


@st.composite
def _transaction(draw: st.DrawFn, text: st.SearchStrategy[str]) -> Row:
    kind = draw(st.sampled_from((*CREDIT_TYPES, *DEBIT_TYPES, *EITHER_TYPES)))
    sign = {True: 1, False: -1}[kind in CREDIT_TYPES or (kind in EITHER_TYPES and draw(st.booleans()))]
    told = st.tuples(_NO_BLANK, text).map("".join)
    return {
        "transaction_id": draw(_identifier(text)), "account_id": draw(IDENTIFIER), "timestamp": draw(INSTANT),
        "amount": sign * draw(_AMOUNT), "currency": draw(st.sampled_from(_CURRENCIES)), "type": kind,
        "description": draw(told if kind in EITHER_TYPES else st.none() | text),
    }  # fmt: skip


@st.composite
def _account(draw: st.DrawFn, text: st.SearchStrategy[str]) -> Row:
    status = draw(st.sampled_from((*LIVE, "closed")))
    is_closed = status == "closed"
    opened = draw(_PAST)
    return {
        "account_id": draw(IDENTIFIER), "customer_id": draw(_identifier(text)),
        "account_type": draw(st.sampled_from(ACCOUNT_TYPES)), "status": status,
        "currency": draw(st.sampled_from(_CURRENCIES)), "opened_date": opened,
        "closed_date": draw(st.dates(opened, DATE)) if is_closed else None,
        "balance": Decimal("0.0000") if is_closed else draw(_AMOUNT) * draw(st.sampled_from((1, -1))),
        "risk_class": draw(st.none() | st.sampled_from(RISK_CLASSES)),
    }  # fmt: skip


@st.composite
def _product(draw: st.DrawFn, text: st.SearchStrategy[str]) -> Row:
    status = draw(st.sampled_from(("announced", "active", "suspended", "matured", "withdrawn")))
    issued = draw(st.dates(dt.date(1900, 1, 1), DATE - dt.timedelta(days=1)))
    later = st.dates(issued + dt.timedelta(days=1), DATE) if status == "matured" else st.none() | _FUTURE
    body = draw(st.text(st.sampled_from(string.ascii_uppercase), min_size=2, max_size=2)) + draw(
        st.text(st.sampled_from(string.ascii_uppercase + string.digits), min_size=9, max_size=9)
    )
    return {
        "product_id": draw(IDENTIFIER), "name": draw(st.tuples(_NO_BLANK, text).map("".join)),
        "product_type": draw(st.sampled_from(PRODUCT_TYPES)), "currency": draw(st.sampled_from(_CURRENCIES)),
        "issue_date": issued, "maturity_date": draw(later), "status": status, "risk_class": draw(st.integers(1, 7)),
        "isin": draw(st.sampled_from((None, with_check_digit(pl.Series([body])).item()))),
        "price": draw(st.none() | decimals("0.00000001", "9999999999.99999999", 8)),
    }  # fmt: skip


@st.composite
def _indicators(draw: st.DrawFn, text: st.SearchStrategy[str]) -> Row:
    bands = sorted(draw(st.tuples(*[_floats(0.001, 1e7)] * 3)))
    macd, signal = draw(st.tuples(_floats(-5e6, 5e6), _floats(-5e6, 5e6)))
    values = {
        "rsi": draw(_floats(0, 100)), "macd": macd, "macd_signal": signal, "macd_histogram": macd - signal,
        **{name: draw(_floats(0.001, 1e7)) for name in ("sma_20", "sma_50", "ema_12", "ema_26")},
        "bollinger_lower": bands[0], "bollinger_middle": bands[1], "bollinger_upper": bands[2],
    }  # fmt: skip
    missing = draw(st.sets(st.sampled_from([name for name in INDICATORS if name[:4] != "boll"]), max_size=7))
    return {"symbol": draw(SYMBOL), "timestamp": draw(INSTANT), **values, **dict.fromkeys(missing)}


@st.composite
def _anomaly(draw: st.DrawFn, text: st.SearchStrategy[str]) -> Row:
    return {
        "symbol": draw(SYMBOL), "timestamp": draw(INSTANT), "kind": draw(st.sampled_from(KINDS)),
        "score": draw(_floats(0, 1)), "severity": draw(st.sampled_from(SEVERITIES)),
        "observed_value": draw(_floats(-1e15, 1e15)), "expected_value": draw(_floats(-1e15, 1e15)),
        "description": draw(st.none() | text),
    }  # fmt: skip


_ROWS = {
    "prices": _price, "transactions": _transaction, "accounts": _account, "products": _product,
    "technical_indicators": _indicators, "anomalies": _anomaly,
}  # fmt: skip
DATASETS = tuple(_ROWS)


@st.composite
def tables(draw: st.DrawFn, dataset: str, text: st.SearchStrategy[str], most: int = 5) -> pl.DataFrame:
    """One to `most` valid rows in the contract's types, each with its own key."""
    contract = BUILT_IN[dataset]
    rows = draw(
        st.lists(
            _ROWS[dataset](text),
            min_size=1,
            max_size=most,
            unique_by=lambda row: tuple(row[name] for name in contract.key),
        )
    )
    return pl.DataFrame(rows, schema={column.name: column.dtype for column in contract.columns})

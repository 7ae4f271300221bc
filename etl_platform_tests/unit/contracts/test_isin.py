"""The check digit of ISINs, against published ones and the definition written out digit by digit."""

from __future__ import annotations

import string

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.contracts.datasets.isin import has_right_check_digit, is_well_formed, with_check_digit

PUBLISHED = [
    "US0378331005", "AU0000XVGZA3", "GB0002634946", "CH0038863350", "DE0007164600", "US5949181045", "FR0000120271",
    "JP3633400001", "LU1778762911", "US38259P5089",
]  # fmt: skip
BODY = st.from_regex(r"[A-Z]{2}[A-Z0-9]{9}", fullmatch=True)


def judged(*isins: str | None) -> list[bool | None]:
    return (
        pl.Series("isin", isins, dtype=pl.String)
        .to_frame()
        .select(has_right_check_digit(pl.col("isin")))
        .to_series()
        .to_list()
    )


def defined(body: str) -> str:
    """The check digit as ISO 6166 defines it."""
    digits = [int(d) for c in body for d in str((string.digits + string.ascii_uppercase).index(c))]
    doubled = [d if place % 2 else sum(map(int, str(2 * d))) for place, d in enumerate(reversed(digits))]
    return str(-sum(doubled) % 10)


def test_published_numbers_are_right_and_all_their_neighbours_wrong() -> None:
    assert judged(*PUBLISHED) == [True] * len(PUBLISHED)
    wrong = [isin[:-1] + str((int(isin[-1]) + step) % 10) for isin in PUBLISHED for step in range(1, 10)]
    assert judged(*wrong) == [False] * len(wrong)


@given(st.lists(BODY, min_size=1, max_size=20))
def test_the_check_digit_is_that_of_the_definition(bodies: list[str]) -> None:
    whole = with_check_digit(pl.Series(bodies)).to_list()
    assert whole == [body + defined(body) for body in bodies]
    assert judged(*whole) == [True] * len(bodies)


@pytest.mark.parametrize(
    "text", ["us0378331005", "US037833100", "US03783310055", "US03783310O5\n", "", "ÜS0378331005", "US037833100A"]
)
def test_an_ill_formed_number_is_not_judged(text: str) -> None:
    assert judged(text, "US0378331005", None) == [None, True, None]
    form = pl.select(a=is_well_formed(pl.lit(text)), b=is_well_formed(pl.lit(None, pl.String)))
    assert form.row(0) == (False, None)


def test_no_rows_are_no_verdicts() -> None:
    assert judged() == []

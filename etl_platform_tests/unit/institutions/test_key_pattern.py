"""Key patterns: what a landing key says, which keys to list, and which patterns are none."""

from __future__ import annotations

import datetime as dt
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.institutions.key_pattern import KeyPattern, compile_pattern

DAY = dt.date(2025, 1, 15)
DEFAULT = "{institution}/{dataset}/{date:%Y-%m-%d}/..."
PATTERNS = (
    DEFAULT,
    "{dataset}/{institution}/{date:%Y/%m/%d}/{symbol}.csv",
    "in/{institution}_{dataset}_{date:%Y%m%d}.json",
    "{date:%Y%j}/{institution}/{dataset}/...",
    "{institution}/{date:%Y/%m/%Y-%m-%d}/{dataset}-{region}.parquet",
    "{institution}/{dataset}/{date:%Y%m%dT%H%M%S}.csv",
)


@pytest.mark.parametrize(
    ("pattern", "key", "date"),
    [
        (DEFAULT, "a/prices/2025-01-15/bars.csv", DAY),
        (DEFAULT, "a/prices/2025-01-15/deep/er/bars.csv", DAY),
        (DEFAULT, "a/prices/2024-02-29/x", dt.date(2024, 2, 29)),
        (DEFAULT, "a/prices/2025-02-29/x", None), (DEFAULT, "a/prices/2025-13-01/x", None),
        (DEFAULT, "a/prices/2025-00-10/x", None), (DEFAULT, "a/prices/0000-01-01/x", None),
        (DEFAULT, "a/prices/2025-1-15/x", None), (DEFAULT, "a/prices/\u0662025-01-15/x", None),
        (DEFAULT, "a/prices/2025-01-15/", None), (DEFAULT, "a/prices/2025-01-15", None),
        (DEFAULT, "x/a/prices/2025-01-15/x", None), (DEFAULT, "A/prices/2025-01-15/x", None),
        (DEFAULT, "ab/prices/2025-01-15/x", None), (DEFAULT, "a/pricesx/2025-01-15/x", None),
        (DEFAULT, "a/prices/2025-01-15/line\nbreak", DAY),
        ("{institution}/{date:%Y/%m/%Y-%m-%d}.csv", "a/2025/01/2025-01-15.csv", DAY),
        ("{institution}/{date:%Y/%m/%Y-%m-%d}.csv", "a/2025/02/2025-01-15.csv", None),
        ("{institution}/{date:%Y/%m/%Y-%m-%d}.csv", "a/2024/01/2025-01-15.csv", None),
        ("{institution}.{date:%Y-%j}", "a.2025-015", DAY), ("{institution}.{date:%Y-%j}", "aX2025-015", None),
        ("{institution}.{date:%Y-%j}", "a.2024-366", dt.date(2024, 12, 31)),
        ("{institution}.{date:%Y-%j}", "a.2025-366", None), ("{institution}.{date:%Y-%j}", "a.2025-000", None),
        ("{institution}.{date:%Y-%m-%d.%j}", "a.2025-01-15.015", DAY),
        ("{institution}.{date:%Y-%m-%d.%j}", "a.2025-01-15.016", None),
        ("{institution}.{date:%Y-%m-%d.%j}", "a.2025-00-15.015", None),
        ("{institution}/{date:%Y%m%d_%H%M%S}", "a/20250115_235959", DAY),
        ("{institution}/{date:%Y%m%d_%H%M%S}", "a/20250115_240000", None),
    ],
)  # fmt: skip
def test_a_key_names_a_day_that_exists_or_does_not_fit(pattern: str, key: str, date: dt.date | None) -> None:
    found = KeyPattern(pattern).match(key, "a", "prices")
    assert (found.business_date if found else None) == date


def test_captured_names_are_given_by_name() -> None:
    pattern = KeyPattern("{institution}/{dataset}/{date:%Y%m%d}/{region}-{symbol}.csv")
    assert pattern.names == {"region", "symbol"}
    found = pattern.match("a/prices/20250115/emea-BRK.B.csv", "a", "prices")
    assert found is not None and found.captured == {"region": "emea", "symbol": "BRK.B"}
    assert pattern.match("a/prices/20250115/emea/x-BRK.B.csv", "a", "prices") is None


def test_the_dataset_comes_from_the_key_or_from_the_pattern_that_belongs_to_it() -> None:
    assert KeyPattern("{institution}/eod/{date:%Y%m%d}").match("a/eod/20250115", "a") is None
    named = KeyPattern(DEFAULT).match("a/prices/2025-01-15/x", "a")
    assert named is not None and named.dataset == "prices"
    assert KeyPattern(DEFAULT).has_dataset and not KeyPattern("{institution}/eod/{date:%Y%m%d}").has_dataset


def test_codes_and_datasets_are_literal_text() -> None:
    assert KeyPattern("{institution}/{date:%Y%m%d}").match("axb/20250115", "a.b", "prices") is None
    assert KeyPattern("{institution}.x/{date:%Y%m%d}").match("azx/20250115", "a", "prices") is None


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        (DEFAULT, "a/prices/2025-01-15/"),
        ("{dataset}/{institution}/{date:%Y/%m/%d}/{symbol}.csv", "prices/a/2025/01/15/"),
        # Any time of that day is the day's: the prefix ends where the time begins.
        ("{institution}/{date:%Y%m%d_%H%M%S}/{dataset}.csv", "a/20250115_"),
        ("{institution}/{date:%H/%Y%m%d}/x", "a/"),
        ("{symbol}/{date:%Y%m%d}", ""),
    ],
)
def test_the_prefix_is_all_that_is_known_before_listing(pattern: str, prefix: str) -> None:
    assert KeyPattern(pattern).prefix("a", "prices", DAY) == prefix


def test_a_prefix_ends_where_knowledge_ends() -> None:
    assert KeyPattern(DEFAULT).prefix("a", "prices") == "a/prices/"
    assert KeyPattern(DEFAULT).prefix("a") == "a/"


NAME = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=12)
PART = st.text(string.ascii_letters + string.digits + "_. ~é", min_size=1, max_size=12)


@given(
    st.sampled_from(PATTERNS),
    NAME,
    NAME,
    st.dates(dt.date(1000, 1, 1), dt.date(9999, 12, 31)),
    st.text(min_size=1, max_size=20),
    PART,
    PART,
)
def test_a_rendered_key_matches_again_and_is_under_its_prefix(
    text: str, institution: str, dataset: str, date: dt.date, file: str, symbol: str, region: str
) -> None:
    pattern = compile_pattern(text)
    key = pattern.render(institution, dataset, date, file, symbol=symbol, region=region)
    found = pattern.match(key, institution, dataset)
    assert found is not None
    assert (found.dataset, found.business_date) == (dataset, date)
    assert found.captured == {name: {"symbol": symbol, "region": region}[name] for name in pattern.names}
    assert key.startswith(pattern.prefix(institution, dataset, date))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "exactly one {date:FORMAT}"), ("{institution}/{dataset}/...", "exactly one {date:FORMAT}"),
        ("{date:%Y%m%d}/{date:%Y%m%d}", "exactly one {date:FORMAT}"),
        ("{date:%Y%m%d}/{x}/{x}", "each name once"), ("{date:%Y%m%d}/.../x", "at most one '...', at the end"),
        ("{date:%Y%m%d}/{X}", "{name} parts"), ("{date:%Y%m%d}/{", "{name} parts"), ("{date}", "year, month and day"),
        ("/{date:%Y%m%d}", "relative to the landing root"), ("{date:%Y-%m}", "year, month and day"),
        ("{date:%m-%d}", "year, month and day"), ("{date:%y%m%d}", "%Y %m %d"), ("{date:%Y%m%d%Z}", "%Y %m %d"),
        ("{date:%Y%m%d}/{symbol:%Y}", "a format on {date} only"), ("{date:%Y%m%d%}", "%Y %m %d"),
    ],
)  # fmt: skip
def test_what_is_no_pattern_is_refused_with_found_and_expected(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match="found ") as failure:
        KeyPattern(text)
    assert expected in str(failure.value).partition("expected ")[2]

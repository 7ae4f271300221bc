"""What is no delivery: the markers of tools, and what an institution's file says to ignore."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from etl_platform.institutions.ignored import below_prefix, ignored_reason
from etl_platform.institutions.model import Institution


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("prices/2025-01-15/_SUCCESS", "finished job"), ("_started_7181", "begun transaction"),
        ("prices/_committed_7181", "committed transaction"), ("prices/2025-01-15/bars.csv.crc", "Hadoop"),
        ("prices/2025-01-15/.bars.csv.crc", "Hadoop"), (".DS_Store", "macOS"), ("prices/Thumbs.db", "Windows"),
        ("prices/_temporary/0/bars.csv", "'_temporary' begins with '_'"), ("_x/bars.csv", "'_x' begins with '_'"),
        ("prices/.bars.csv.swp", "begins with '.'"), (".git/config", "'.git' begins with '.'"),
    ],
)  # fmt: skip
def test_markers_are_ignored_with_the_reason(key: str, said: str) -> None:
    assert said in (ignored_reason(key, ()) or "")


@pytest.mark.parametrize(
    "key", ["prices/2025-01-15/bars.csv", "prices/2025-01-15/SUCCESS", "a_b/c.d/e_.csv", "crc", "prices/date=1/x", ""]
)
def test_what_only_resembles_a_marker_is_a_delivery(key: str) -> None:
    assert ignored_reason(key, ()) is None


@pytest.mark.parametrize(
    ("pattern", "key", "fits"),
    [
        ("*.tmp", "prices/2025-01-15/bars.tmp", True), ("*.tmp", "prices/x.tmp/bars.csv", False),
        ("*.TMP", "bars.tmp", False), ("README.txt", "a/b/README.txt", True), ("test/*", "test/a/b.csv", True),
        ("test/*", "prices/test/b.csv", False), ("*/test/*", "prices/test/b.csv", True),
        ("bars-?.csv", "prices/bars-1.csv", True), ("bars-[0-9].csv", "bars-x.csv", False),
        ("prices/*/old.csv", "prices/2025/01/old.csv", True),
    ],
)  # fmt: skip
def test_a_pattern_without_a_slash_is_for_the_name_and_one_with_it_for_the_whole_key(
    pattern: str, key: str, fits: bool
) -> None:
    reason = ignored_reason(key, ["never-*", pattern])
    assert (reason is not None) == fits
    assert reason is None or repr(pattern) in reason


def test_the_institutions_own_prefix_is_no_marker() -> None:
    assert ignored_reason(below_prefix("_acme/prices/2025-01-15/bars.csv", "_acme"), ()) is None
    assert below_prefix("acme_2/prices/bars.csv", "acme") == "acme_2/prices/bars.csv"


def acme(**fields: Any) -> Institution:
    return Institution.model_validate({"code": "acme", "name": "Acme", "datasets": {"prices": {}}, **fields})


def test_nothing_more_is_ignored_where_the_file_says_nothing() -> None:
    assert acme().ignore == ()
    assert acme(ignore=["*.tmp", "test/*"]).ignore == ("*.tmp", "test/*")


@pytest.mark.parametrize("pattern", ["*", "**", "", "*/*", "**/*", "?*", "*.*", "[!x]*", "/test/*"])
def test_a_pattern_that_would_ignore_everything_or_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="expected"):
        acme(ignore=["*.tmp", pattern])

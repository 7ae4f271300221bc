"""Which rows of a manifest count, where the ledger and the listing say different things of a key."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import polars as pl

from etl_platform.contracts.manifest import manifest_table
from etl_platform.landing.placed import merged
from etl_platform.ledger.records import LedgerObject, State
from etl_platform_tests.support.landing_objects import DATE, NOW, after, landing_object

SCHEMA = manifest_table("prices").polars_schema
KEY = landing_object().key


def row(sha256: str, *, is_current: bool, seconds: int) -> dict[str, Any]:
    """One row of a manifest, the rest of it empty."""
    facts = {"key": KEY, "sha256": sha256, "etag": sha256, "last_modified": after(seconds), "is_current": is_current}
    return {**dict.fromkeys(SCHEMA), "delivery": 1, "business_date": DATE, "institution": "institution_a", **facts}


def on_record(sha256: str, state: State) -> LedgerObject:
    found: dict[str, Any] = dict.fromkeys(field.name for field in fields(LedgerObject))
    facts = {"key": KEY, "sha256": sha256, "identity": sha256, "etag": sha256, "state": state, "last_modified": NOW}
    return LedgerObject(**{**found, **facts})


def current(previous: list[dict[str, Any]], known: list[LedgerObject]) -> list[str]:
    manifest = merged(pl.DataFrame(previous, schema=SCHEMA), [], [], "prices", known, frozenset())
    return manifest.filter("is_current")["sha256"].to_list()


def test_a_content_that_a_person_put_back_takes_the_place_of_what_counted_meanwhile() -> None:
    """Nothing of the key is listed: its pattern is wrong just now. Two contents of one key are two times its rows."""
    previous = [row("earlier", is_current=False, seconds=0), row("later", is_current=True, seconds=9)]
    assert current(previous, [on_record("earlier", State.SEEN), on_record("later", State.SUPERSEDED)]) == ["earlier"]


def test_a_content_that_is_nowhere_to_be_read_takes_no_place() -> None:
    assert current([row("held", is_current=True, seconds=0)], [on_record("never copied", State.SEEN)]) == ["held"]


def test_what_a_killed_run_copied_and_told_nobody_counts_once_it_is_wanted_again() -> None:
    """Withdrawn by a person, deleted by its sender, put back by the person: every tick would launch a run for it."""
    known = replace(on_record("copied", State.SEEN), sha256=None)
    assert current([row("copied", is_current=False, seconds=0)], [known]) == ["copied"]

"""Objects that are replaced while people query: an answer is of what was published, or there is none."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import polars as pl
import pytest

from etl_platform.clock import now
from etl_platform.contracts.table import PartitionKey
from etl_platform.delivery import Delivery
from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.gold.graph import gold_graph
from etl_platform.ledger.records import AttemptTotals
from etl_platform.limits import QUESTION_TRIES
from etl_platform.query import Lake, open_lake
from etl_platform.query.objects import Found, Objects, View
from etl_platform_tests.query.test_published import deliver
from etl_platform_tests.support.platform import DATE, Platform, bar

DAYS = [DATE + dt.timedelta(days=n) for n in range(6)]
EACH = 3
BAD = "NOBODYCHECKED"


@pytest.fixture
def loaded(plain: Platform) -> Platform:
    """So many rows of `first` on each of the days, all published."""
    for day in DAYS:
        deliver(plain, "first", EACH, day)
        assert plain.ingest("first", day).succeeded
    return plain


def partition_of(day: dt.date) -> Delivery:
    return Delivery.of("prices", PartitionKey(day, "first"))


class Runs:
    """Runs over single days, as lake and ledger see them."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.number = 0
        self.good = {day: platform.table("silver", "prices", "first", day) for day in DAYS}

    def begin(self, day: dt.date, rows: pl.DataFrame) -> str:
        """A run begins and stores `rows`."""
        self.number += 1
        run_id = f"run {self.number}"
        assert self.platform.ledger.start_attempts(run_id, [partition_of(day)], now=now()) == []
        self.platform.replace("silver", "prices", "first", rows, day)
        return run_id

    def fail(self, day: dt.date) -> None:
        """Twice as many rows, under another symbol, that checks hold back."""
        rows = pl.concat([self.good[day]] * 2).with_columns(pl.lit(BAD).alias("symbol"))
        run_id = self.begin(day, rows)
        self.platform.ledger.end_checks(run_id, partition_of(day), totals=AttemptTotals(), error="a check", now=now())

    def succeed(self, day: dt.date) -> None:
        run_id, ledger = self.begin(day, self.good[day]), self.platform.ledger
        assert ledger.end_checks(run_id, partition_of(day), totals=AttemptTotals(), now=now())
        wanted = gold_graph().publication_of("prices")
        assert ledger.publish(run_id, partition_of(day), wanted, wanted=wanted, now=now())


@contextmanager
def alongside(action: Callable[[], object]) -> Iterator[list[BaseException]]:
    """`action` again and again in a thread of its own. Yields what it raised, in which case it has ended."""
    is_over, raised = threading.Event(), list[BaseException]()

    def repeat() -> None:
        try:
            while not is_over.is_set():
                action()
        except BaseException as error:  # shown by the test, wherever it comes from
            raised.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield raised
    finally:
        is_over.set()
        thread.join()


COUNTS = f"""
SELECT count(*), count(DISTINCT business_date), count(*) FILTER (symbol = '{BAD}'), sum(volume)
FROM first.prices
"""


def test_objects_replaced_while_queries_run_never_give_wrong_counts(loaded: Platform) -> None:
    runs, lake = Runs(loaded), Lake(loaded.settings)
    answers: set[tuple[int, ...]] = set()

    def replace_days() -> None:
        for day in DAYS:
            runs.fail(day)
            time.sleep(0.1)
            runs.succeed(day)
            time.sleep(0.1)

    with alongside(replace_days) as raised:
        until = time.monotonic() + 6
        while time.monotonic() < until and not raised:
            (answer,) = lake.query(COUNTS).rows.to_pylist()
            rows, days, bad, volume = answer.values()
            assert bad == 0 and rows == days * EACH and volume == rows * 100, answer
            answers.add((rows, days))
    assert raised == [] and runs.number > 10
    assert {days for _, days in answers} <= {len(DAYS), len(DAYS) - 1}, "at most the one that is being loaded is away"
    assert len(answers) == 2


class Replacing(Objects):
    """A lake in which something happens each time its objects were looked up, before they are read."""

    def __init__(self, platform: Platform, happens: Callable[[], object]) -> None:
        super().__init__(platform.resources["bronze"].lake, platform.ledger)
        self._happens = happens
        self.looks = 0

    def of(self, views: Collection[View]) -> dict[View, list[Found]]:
        found = super().of(views)
        self.looks += 1
        self._happens()
        return found


def lake_in_which(happens: Callable[[], object], platform: Platform) -> tuple[Lake, Replacing]:
    lake, objects = Lake(platform.settings), Replacing(platform, happens)
    lake.__dict__["_objects"] = objects
    return lake, objects


def test_a_query_whose_objects_were_replaced_is_asked_again(loaded: Platform) -> None:
    runs, happens = Runs(loaded), [lambda: runs.fail(DAYS[0])]
    lake, objects = lake_in_which(lambda: happens.pop()() if happens else None, loaded)
    (answer,) = lake.query(COUNTS).rows.to_pylist()
    assert tuple(answer.values()) == (15, 5, 0, 1500) and objects.looks == 2


def test_an_object_that_came_and_one_that_no_query_reads_are_no_reason_to_ask_again(loaded: Platform) -> None:
    def happens() -> None:
        day = DAYS[-1] + dt.timedelta(days=objects.looks)
        loaded.replace("silver", "prices", "first", loaded.table("silver", "prices", "first", day), day)
        loaded.replace("silver", "prices", "second", loaded.table("silver", "prices", "second"))

    lake, objects = lake_in_which(happens, loaded)
    assert lake.query("SELECT count(*) AS n FROM first.prices").rows.to_pylist() == [{"n": 18}] and objects.looks == 1


def test_a_query_whose_objects_are_always_replaced_gives_up_by_name(loaded: Platform) -> None:
    runs = Runs(loaded)
    lake, objects = lake_in_which(lambda: runs.succeed(DAYS[0]), loaded)
    with pytest.raises(StorageUnavailableError) as caught:
        lake.query(COUNTS)
    assert objects.looks == QUESTION_TRIES and caught.value.service == "lake"
    told = str(caught.value)
    assert "during each of 10 tries" in told and f"date={DAYS[0]}" in told and "next step: ask again" in told


def test_an_object_that_goes_away_for_good_is_missing_from_the_next_try(loaded: Platform) -> None:
    path = loaded.lake_object("silver", "prices", "first", DAYS[0])
    lake, objects = lake_in_which(lambda: path.unlink(missing_ok=True), loaded)
    assert lake.query("SELECT count(*) AS n FROM stored.prices").rows.to_pylist() == [{"n": 15}] and objects.looks == 2


def test_a_damaged_object_is_an_error_and_no_answer(loaded: Platform) -> None:
    loaded.lake_object("silver", "prices", "first", DAYS[0]).write_bytes(b"PAR1 and no more")
    with pytest.raises(StorageError, match=f"date={DAYS[0]}/data.parquet.*rerun its partition"):
        Lake(loaded.settings).query(COUNTS)


def test_a_load_runs_while_somebody_reads(loaded: Platform) -> None:
    day = DAYS[-1] + dt.timedelta(days=1)
    with open_lake(loaded.settings) as connection:
        asked: list[tuple[int, ...]] = []

        def ask() -> None:
            asked.extend(connection.execute("SELECT count(*), count(DISTINCT symbol) FROM first.prices").fetchall())

        with alongside(ask) as raised:
            deliver(loaded, "first", EACH, day)
            assert loaded.ingest("first", day).succeeded
            while len(asked) < 3 and not raised:
                time.sleep(0.01)
    assert raised == [] and set(asked) == {(18, 3)}, "of the objects that were there when it was opened"
    assert loaded.table("warehouse", "prices", "first", day).height == EACH
    assert Lake(loaded.settings).query("SELECT count(*) AS n FROM first.prices").rows.to_pylist() == [{"n": 21}]


def test_rows_of_another_delivery_are_seen_with_the_next_query(loaded: Platform) -> None:
    lake = Lake(loaded.settings)
    assert lake.query("SELECT count(*) AS n FROM first.prices").rows.to_pylist() == [{"n": 18}]
    loaded.put(f"first/prices/{DAYS[0]}/b.csv", "symbol,timestamp,open,high,low,close,volume\n" + bar("ZZZ"))
    assert loaded.ingest("first", DAYS[0]).succeeded
    assert lake.query("SELECT count(*) AS n FROM first.prices").rows.to_pylist() == [{"n": 19}]

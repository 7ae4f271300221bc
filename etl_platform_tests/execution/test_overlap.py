"""A key lives once: whatever order deliveries of neighbouring dates come in, and whoever runs beside whom."""

from __future__ import annotations

import datetime as dt
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.held import HELD_BY, held_table
from etl_platform.contracts.table import PartitionKey
from etl_platform.delivery import Delivery
from etl_platform.errors import ConfigurationError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals, State
from etl_platform.object_store.open import open_object_store
from etl_platform.pipeline.overlap import Neighbours, settled, told
from etl_platform.readers.options import CsvOptions
from etl_platform.stores.frames import to_batches
from etl_platform.stores.lake.store import LakeStore
from etl_platform.stores.reading import read_frame
from etl_platform.transforms.normalise import SenderFormat
from etl_platform.transforms.overlap import dates_in_reach
from etl_platform.transforms.silver import Silver, SilverPlan, SourceFile, build_silver
from etl_platform_tests.support.datasets import declared, platform_with
from etl_platform_tests.support.platform import Platform

FIRST = dt.date(2025, 2, 3)
NOW = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
TRANSACTIONS, PRICES = BUILT_IN["transactions"], BUILT_IN["prices"]

Row = tuple[str, int, int]
"""Key, hours after the first date's midnight, value."""
Deliveries = Mapping[int, Sequence[Row]]
"""Day after the first -> rows of its one file."""


def instant(hours: int) -> dt.datetime:
    return dt.datetime.combine(FIRST, dt.time(), dt.UTC) + dt.timedelta(hours=hours)


def text(contract: Contract, rows: Sequence[Row]) -> str:
    at = [f"{instant(hours):%Y-%m-%dT%H:%M:%SZ}" for _, hours, _ in rows]
    if contract.dataset == "prices":
        lines = [f"{key},{time},1,{value + 2},1,2,10" for (key, _, value), time in zip(rows, at, strict=True)]
        return "\n".join(["symbol,timestamp,open,high,low,close,volume", *lines, ""])
    lines = [f"{key},A1,{time},{value},EUR,deposit," for (key, _, value), time in zip(rows, at, strict=True)]
    return "\n".join(["transaction_id,account_id,timestamp,amount,currency,type,description", *lines, ""])


@dataclass
class World:
    """Lake and ledger of one sender, loaded as `defs/silver.py: transform` does, step by step."""

    folder: Path
    contract: Contract
    deliveries: dict[int, Sequence[Row]] = field(default_factory=dict)
    running: dict[int, Iterator[None]] = field(default_factory=dict)
    results: dict[int, Silver] = field(default_factory=dict)
    fails: set[int] = field(default_factory=set)
    published: dict[int, pl.DataFrame] = field(default_factory=dict)
    runs: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.ledger = Ledger(f"sqlite:///{self.folder / 'ledger.db'}")
        self.store = LakeStore(open_object_store((self.folder / "lake").as_uri()))

    def partition(self, day: int) -> PartitionKey:
        return PartitionKey(FIRST + dt.timedelta(days=day), "first")

    def deliver(self, day: int, rows: Sequence[Row], *, fails: bool = False) -> None:
        """fails: with something by which its checks hold it back."""
        self.deliveries[day] = rows
        (self.fails.add if fails else self.fails.discard)(day)
        self.ledger.ask_again([Delivery.of(self.contract.dataset, self.partition(day))], "new", now=NOW)

    def pending(self) -> list[int]:
        found = self.ledger.open_reruns()
        return sorted({(p.business_date - FIRST).days for p in found} - self.running.keys())

    def step(self, day: int) -> None:
        """Begin a run of the date, or let it go on to its next step."""
        run = self.running.setdefault(day, self._run(day))
        if next(run, "ended") == "ended":
            del self.running[day]

    def load_all(self) -> None:
        for _ in range(200):
            waiting = [*self.running, *self.pending()]
            if not waiting:
                return
            self.step(waiting[0])
        raise AssertionError("dates ask each other for ever")

    def _run(self, day: int) -> Iterator[None]:
        partition, run_id = self.partition(day), f"run-{next(self.runs)}"
        attempt = Delivery.of(self.contract.dataset, partition)
        self.ledger.start_attempts(run_id, [attempt], now=NOW)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            path = Path(scratch) / "file.csv"
            path.write_text(text(self.contract, self.deliveries[day]))
            around = Neighbours(self.contract, attempt, self.ledger, self.store, run_id)
            fails = day in self.fails
            plan = SilverPlan(
                self.contract, partition, CsvOptions(), NOW, Path(scratch) / "scratch", others=around.others
            )
            result = build_silver([SourceFile("file.csv", path, 1, SenderFormat())], plan)
            assert result.unexplained == 0
            yield
            around.record(result)
            yield
            silver = self.contract.silver
            self.store.replace(silver, [partition], to_batches(result.silver, silver, "silver"))
            self.results[day] = result
        yield
        if fails:
            self.ledger.mark_failed(run_id, attempt, "a blocking check", now=NOW)
            return

        def tell() -> None:
            self.ledger.end_checks(run_id, attempt, totals=AttemptTotals(), now=NOW)

        settled([around], self.ledger, tell)
        yield
        self.ledger.publish(run_id, attempt, ["gold"], wanted={"gold": None}, now=NOW)
        self.published[day] = read_frame(self.store, self.contract.silver, [partition])

    def rows(self) -> dict[tuple[int, str, int], int]:
        """Day, key and hour of every published row, with the value."""
        found = {}
        for day, frame in self.published.items():
            value = "amount" if self.contract is TRANSACTIONS else "high"
            for row in frame.iter_rows(named=True):
                hours = int((row["timestamp"] - instant(0)).total_seconds() // 3600)
                found[day, row[self.contract.key[0]], hours] = int(row[value]) - (
                    0 if self.contract is TRANSACTIONS else 2
                )
        return found


def expected(contract: Contract, deliveries: Deliveries) -> dict[tuple[int, str, int], int]:
    """The same by the definition, row by row."""
    holders: dict[object, list[tuple[int, int, str, int, int]]] = {}
    for day, rows in deliveries.items():
        own: dict[object, Row] = {}
        for key, hours, value in rows:
            # The rule: from 12 hours before the date to 12 hours after its longest end.
            if 24 * day - 12 <= hours <= 24 * day + 37:
                own[(key, hours) if contract is PRICES else key] = (key, hours, value)  # the last of a key wins
        for identity, (key, hours, value) in own.items():
            distance = abs(hours // 24 - day)
            holders.setdefault(identity, []).append((-distance, day, key, hours, value))
    return {
        (day, key, hours): value
        for of_key in holders.values()
        for near, day, key, hours, value in of_key
        # Deliveries further apart cannot hold the same event.
        if not any((near, day) < other[:2] and abs(day - other[1]) <= 2 for other in of_key)
    }


rows_of_a_day = st.lists(st.tuples(st.sampled_from("AB"), st.integers(-14, 40), st.integers(1, 3)), max_size=4)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, Sequence[Row]]]:
    """Deliveries, some of them held back, and steps of runs, in any order."""
    moves: list[tuple[str, int, Sequence[Row]]] = []
    for _ in range(draw(st.integers(2, 8))):
        day = draw(st.integers(0, 3))
        move = draw(st.sampled_from(["deliver", "deliver", "deliver broken"]))
        moves.append((move, day, [(k, 24 * day + h, v) for k, h, v in draw(rows_of_a_day)]))
        moves += [("step", draw(st.integers(0, 3)), ())] * draw(st.integers(0, 5))
    return moves


MIDNIGHT = ("A", 20, 1)


@pytest.mark.parametrize("contract", [TRANSACTIONS, PRICES], ids=lambda c: c.dataset)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
@example([("deliver", 1, [MIDNIGHT]), ("step", 1, ()), ("deliver", 0, [MIDNIGHT]), ("step", 0, ())])
@example([("deliver", 1, [MIDNIGHT]), *[("step", 1, ())] * 9, ("deliver broken", 0, [MIDNIGHT])])
def test_any_order_gives_the_tables_of_the_definition(
    contract: Contract, history: list[tuple[str, int, Sequence[Row]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), contract)
        for move, day, rows in history:
            if move != "step":
                world.deliver(day, rows, fails=move == "deliver broken")
            elif day in world.running or day in world.pending():
                world.step(day)
        world.load_all()
        # What a date delivers whose checks pass is published on some date, whatever holds its neighbours back.
        well = {day: rows for day, rows in world.deliveries.items() if day not in world.fails}
        assert identities(contract, expected(contract, well)) <= identities(contract, world.rows())
        for day in sorted(world.fails):
            world.deliver(day, world.deliveries[day])
        world.load_all()
        assert world.rows() == expected(contract, world.deliveries)
        world.ledger.close()


def identities(contract: Contract, rows: Mapping[tuple[int, str, int], int]) -> set[object]:
    return {(key, hours) if contract is PRICES else key for _, key, hours in rows}


def loaded(folder: Path, contract: Contract, deliveries: Deliveries) -> World:
    world = World(folder, contract)
    for day, rows in deliveries.items():
        world.deliver(day, rows)
        world.load_all()
    return world


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_a_bar_that_three_dates_deliver_stays_on_its_own(tmp_path: Path, order: tuple[int, ...]) -> None:
    midnight = ("A", 24, 1)
    world = loaded(tmp_path, PRICES, {day: [midnight] for day in order})
    assert list(world.rows()) == [(1, "A", 24)]
    held = read_frame(world.store, held_table(PRICES), [world.partition(0)])
    assert held.get_column(HELD_BY).to_list() == [FIRST + dt.timedelta(days=1)]


def test_a_row_that_one_date_alone_delivers_stays_there(tmp_path: Path) -> None:
    world = loaded(tmp_path, PRICES, {0: [("A", 24, 1)], 1: [("A", 30, 1)]})
    assert list(world.rows()) == [(0, "A", 24), (1, "A", 30)]


def test_what_its_own_date_delivers_no_longer_comes_back(tmp_path: Path) -> None:
    world = loaded(tmp_path, PRICES, {0: [("A", 23, 1)], 1: [("A", 23, 1), ("A", 30, 1)]})
    assert list(world.rows()) == [(0, "A", 23), (1, "A", 30)]
    world.deliver(0, [("A", 22, 1)])
    world.load_all()
    assert list(world.rows()) == [(0, "A", 22), (1, "A", 23), (1, "A", 30)]


def test_people_are_told_who_holds_what(tmp_path: Path) -> None:
    world = loaded(tmp_path, PRICES, {1: [("A", 24, 1), ("A", 25, 1)], 0: [("A", 24, 1), ("A", 25, 2)]})
    assert told(world.results[0]) == "2 held by 2025-02-04, 1 of them with other values there"
    assert told(world.results[1]) == ""


def test_what_was_stored_before_anybody_counted_is_looked_at(tmp_path: Path) -> None:
    """A ledger that was upgraded knows nothing of the rows that were stored before."""
    world = loaded(tmp_path, PRICES, {1: [("A", 23, 1)]})
    with world.ledger._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM shared_keys")
    world.deliver(0, [("A", 23, 1)])
    world.load_all()
    assert list(world.rows()) == [(0, "A", 23)]


def test_dates_are_near_by_the_clock_of_their_zone() -> None:
    """Days on which clocks go forward, or that a zone left out, bring dates nearer than their numbers say."""

    def near(zone: str, hours: int, date: dt.date) -> list[int]:
        bound = PRICES.bind({"time_zone": zone, "business_date_tolerance_hours": hours})
        return [(found - date).days for found in dates_in_reach(bound, date)]

    assert near("UTC", 12, FIRST) == [-2, -1, 1, 2]
    assert near("UTC", 0, FIRST) == [-1, 1]
    assert near("America/New_York", 11, dt.date(2025, 3, 8)) == [-2, -1, 1, 2]
    assert near("Pacific/Apia", 12, dt.date(2011, 12, 29)) == [-2, -1, 1, 2, 3]


def test_dates_around_a_change_of_clocks_share_their_bars(tmp_path: Path) -> None:
    """Its two dates are 47 hours apart, and both may hold 17:00 UTC of the day between."""
    contract = PRICES.bind({"time_zone": "America/New_York", "business_date_tolerance_hours": 11})
    world = World(tmp_path, contract)
    hour = (dt.date(2025, 3, 9) - FIRST).days * 24 + 17
    for day in (33, 35):  # 8 and 10 March
        world.deliver(day, [("A", hour, 1)])
        world.load_all()
    assert {day: frame.height for day, frame in world.published.items()} == {33: 0, 35: 1}


def test_a_broken_file_of_one_date_takes_no_row_from_another(plain: Platform) -> None:
    first, second = FIRST, FIRST + dt.timedelta(days=1)
    plain.put(f"first/prices/{first}/a.csv", bars(10, 24))
    assert plain.ingest("first", first, ["prices"]).succeeded
    plain.put(f"first/prices/{second}/a.csv", bars(24, 30))
    broken = plain.put(f"first/prices/{second}/b.csv", b"PK\x03\x04")
    assert not plain.ingest("first", second, ["prices"]).succeeded
    assert plain.ledger.open_reruns() == {}
    assert plain.ingest("first", first, ["prices"]).succeeded, "also when somebody runs it again"
    assert plain.table("warehouse", "prices", "first", first).height == 2
    broken.write_text(bars(30))
    assert plain.ingest("first", second, ["prices"]).succeeded
    for again in plain.ledger.open_reruns():
        assert plain.ingest("first", again.business_date, ["prices"]).succeeded
    rows = [plain.table("warehouse", "prices", "first", date).height for date in (first, second)]
    assert (rows, plain.ledger.open_reruns()) == ([1, 2], {})


def test_a_date_that_leaves_all_its_rows_to_others_has_lost_none(plain: Platform) -> None:
    first, second = FIRST, FIRST + dt.timedelta(days=1)
    plain.put(f"first/prices/{first}/a.csv", bars(24))
    assert plain.ingest("first", first, ["prices"]).succeeded
    plain.put(f"first/prices/{second}/a.csv", bars(24))
    assert plain.ingest("first", second, ["prices"]).succeeded
    again = plain.ingest("first", first, ["prices"])
    assert again.succeeded and plain.table("silver", "prices", "first", first).is_empty()
    assert again.checks["prices.volume_is_usual"].passed


def test_snapshots_have_one_row_for_each_key_and_date() -> None:
    lives_once = {name for name, contract in BUILT_IN.items() if contract.lives_once}
    assert lives_once == {"prices", "technical_indicators", "anomalies", "transactions"}
    assert not replace(PRICES, deduplicates=False).lives_once


def bars(*hours: int) -> str:
    return text(PRICES, [("AAA", hour, 1) for hour in hours])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_dates_that_share_a_bar_through_the_whole_platform(plain: Platform, order: tuple[int, int]) -> None:
    """Through the real job, in both orders: what is left to another date is run again until tables and counts agree."""
    files = {0: bars(10, 23), 1: bars(23, 30)}
    for day in order:
        date = FIRST + dt.timedelta(days=day)
        plain.put(f"first/prices/{date}/a.csv", files[day])
    for day in order:
        assert plain.ingest("first", FIRST + dt.timedelta(days=day), ["prices"]).succeeded
    for again in plain.ledger.open_reruns():
        assert plain.ingest("first", again.business_date, ["prices"]).succeeded
    assert plain.ledger.open_reruns() == {}
    for layer in ("silver", "warehouse"):
        name = "prices"
        found = [plain.table("silver", name, "first", FIRST + dt.timedelta(days=day)) for day in (0, 1)]
        assert [frame.get_column("timestamp").dt.hour().to_list() for frame in found] == [[10, 23], [6]], layer
    volumes = [plain.table("gold", "daily_bars", "first", FIRST + dt.timedelta(days=day)) for day in (0, 1)]
    assert pl.concat(volumes).get_column("volume").sum() == 30
    second = plain.attempt("prices", "first", FIRST + dt.timedelta(days=1))
    assert second.totals is not None
    assert (second.totals.rows_read, second.totals.rows_silver, second.totals.rows_duplicate) == (2, 1, 1)
    assert {o.state for o in plain.objects("prices", "first", FIRST)} == {State.LOADED}


CLICKS = """
name: clicks
title: Clicks
columns:
  - {name: click_id, type: string, description: Identifier.}
  - {name: clicked_at, type: timestamp, description: When.}
key: [click_id]
event_time: clicked_at
"""


def test_a_declared_dataset_of_events_has_a_tolerance(tmp_path: Path, dagster_instance: dg.DagsterInstance) -> None:
    """With a tolerance its rows are events of their date; without one each delivery is a snapshot."""
    declarations = {"clicks": CLICKS + "business_date_tolerance_hours: 2\n", "lists": CLICKS.replace("clicks", "lists")}
    platform = platform_with(tmp_path, declarations, dagster_instance)
    days = [FIRST + dt.timedelta(days=day) for day in (0, 1)]
    for name in declarations:
        platform.put(f"first/{name}/{days[0]}/a.csv", "click_id,clicked_at\nC1,2025-02-03T23:30:00Z\n")
        both = "click_id,clicked_at\nC1,2025-02-03T23:30:00Z\nC2,2025-02-04T03:00Z\n"
        platform.put(f"first/{name}/{days[1]}/a.csv", both)
        assert [platform.ingest("first", day, [name]).succeeded for day in days] == [True, True]
    ids = {
        name: [platform.table("silver", name, "first", day).get_column("click_id").to_list() for day in days]
        for name in declarations
    }
    assert ids == {"clicks": [["C1"], ["C2"]], "lists": [["C1"], ["C1", "C2"]]}
    late = "click_id,clicked_at\nC1,2025-02-04T03:30:00Z\nC3,2025-02-04T01:30Z\n"
    platform.put(f"first/clicks/{days[0]}/a.csv", late)
    assert platform.ingest("first", days[0], ["clicks"]).succeeded
    refused = platform.table("quarantine", "clicks", "first", days[0])
    assert refused.get_column("rules").to_list() == [["clicked_at_is_in_business_date"]]


@pytest.mark.parametrize(
    ("changed", "to", "missing"),
    [
        ("event_time: clicked_at\n", "", "an event_time that is never null"),
        ("description: When.", "description: When., required: false", "an event_time that is never null"),
        ("key: [click_id]\n", "", "a key"),
        ("key:", "deduplicate: off\nkey:", "deduplicate: latest"),
        ("key:", "write_mode: fail\nkey:", "write_mode: replace or append"),
    ],
)
def test_a_tolerance_needs_events_that_can_be_told_apart(tmp_path: Path, changed: str, to: str, missing: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declared(tmp_path, CLICKS.replace(changed, to) + "business_date_tolerance_hours: 2\n", "clicks.yaml")
    assert "business_date_tolerance_hours" in str(caught.value) and f"2 without {missing}" in caught.value.found

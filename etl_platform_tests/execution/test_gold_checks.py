"""Gold is checked: what breaks a rule is never stored, what is stored is held against every rule, silver goes on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import polars as pl
import pytest

from etl_platform.contracts.contract import PARTITION_COLUMNS
from etl_platform.contracts.rules import Rule, row_rule
from etl_platform.contracts.table import Column
from etl_platform.defs.assemble import assemble
from etl_platform.defs.due import due
from etl_platform.defs.launching import dataset_assets
from etl_platform.delivery import Delivery
from etl_platform.gold.graph import GoldGraph, gold_graph
from etl_platform.gold.table import GoldTable
from etl_platform.landing.scan import scan_landing
from etl_platform.ledger.records import Outcome, State
from etl_platform.pipeline.gold_judges import gold_checks
from etl_platform.resources.processes import Processes
from etl_platform.stores.duckdb.store import DuckDBStore
from etl_platform_tests.execution.test_history import load_many, run_op
from etl_platform_tests.execution.test_stored import run_checks
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar

BARS = gold_graph()["daily_bars"]
KEY = f"{DATE}|first"


def ranked(bars: pl.LazyFrame) -> pl.LazyFrame:
    volume = pl.col("volume").cast(pl.Float64)
    share = (volume / volume.sum().over("business_date", "institution")).alias("share")
    return bars.select("symbol", share, "bars", "business_date", "institution")


SHARE_COLUMNS = (
    *(column for column in BARS.contract.columns if column.name in ("symbol", "bars")),
    Column("share", pl.Float64(), False, "Share of the day's volume."),
)


def with_gold(platform: Platform, *changed: GoldTable) -> Platform:
    """The same platform after somebody has changed or added gold tables."""
    tables = {**{found.name: found for found in gold_graph()}, **{found.name: found for found in changed}}
    graph = replace(platform.graph, gold=GoldGraph(tables.values()))
    other = Platform(platform.settings, platform.instance)
    vars(other).update(graph=graph, ledger=platform.ledger)
    vars(other)["definitions"] = assemble(graph, {"ledger": platform.ledger})
    return other


def ruled(gold: GoldTable, *rules: Rule) -> GoldTable:
    """The table with further rules."""
    own = gold.contract.rules_for
    return replace(gold, contract=replace(gold.contract, rules_for=lambda parameters: (*own(parameters), *rules)))


def strict() -> GoldTable:
    """Daily bars that must not close above 15."""
    return ruled(BARS, row_rule("close_is_low", "The close is at most 15.", ("close",), pl.col("close") <= 15))


def losing(prices: pl.LazyFrame) -> pl.LazyFrame:
    return BARS.compute(prices.filter(pl.col("symbol") != "BBB"))


def doubling(prices: pl.LazyFrame) -> pl.LazyFrame:
    once = BARS.compute(prices)
    return pl.concat([once, once])


def bent(prices: pl.LazyFrame) -> pl.LazyFrame:
    return BARS.compute(prices).with_columns(pl.col("bars").cast(pl.Int32))


def test_every_rule_of_every_gold_contract_is_a_check_of_the_graph(platform: Platform) -> None:
    keys = platform.definitions.resolve_asset_graph().asset_check_keys
    definitions = platform.definitions.asset_checks or ()
    specs = {spec.key: spec for found in definitions for spec in getattr(found, "check_specs", ())}
    for gold in gold_graph():
        asset = dg.AssetKey(["gold", gold.name])
        names = {key.name for key in keys if key.asset_key == asset}
        assert names == set(gold_checks(gold))
        assert {rule.name for rule in gold.contract.row_rules} <= names
        assert {"schema_matches_contract", "keys_are_unique", "rows_are_conserved"} <= names
        for key in keys:
            if key.asset_key == asset:
                assert specs[key].blocking and specs[key].partitions_def is not None


def test_a_broken_rule_keeps_the_former_gold_and_silver_is_published(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA", close="10"))
    assert plain.ingest("first").succeeded
    former = plain.table("gold", "daily_bars", "first")
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA", close="16"))
    platform = with_gold(plain, strict())

    run = platform.ingest("first")

    assert not run.succeeded
    assert run.failures.keys() == {"gold__daily_bars"}
    for part in ("gold/daily_bars", KEY, "close_is_low", "1 of 1 rows break the rule", "former rows stay"):
        assert part in run.failures["gold__daily_bars"]
    assert platform.table("gold", "daily_bars", "first").equals(former)
    assert platform.table("warehouse", "daily_bars", "first").equals(former)
    assert platform.table("silver", "prices", "first")["close"].to_list() == [16]
    assert platform.table("warehouse", "prices", "first")["close"].to_list() == [16]
    attempt = platform.attempt("prices", "first")
    assert attempt.outcome is Outcome.FAILED and "gold/daily_bars" in (attempt.error or "")
    assert "close_is_low" in (attempt.error or "")
    (check,) = platform.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(["gold", "daily_bars"]), "close_is_low"), limit=1
    )
    assert check.status.value == "FAILED" and check.partition == KEY
    # Nobody tries it again by himself: the same rows break the same rule.
    processes = Processes(platform.settings.processes)
    found = due(platform.instance, platform.ledger, processes, {}, 100, platform.graph.gold)
    assert found.load == [] and found.publish == []


def test_it_is_published_once_the_rule_or_the_rows_have_changed(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA", close="16"))
    platform = with_gold(plain, strict())
    assert not platform.ingest("first").succeeded

    assert plain.ingest("first").succeeded
    assert plain.attempt("prices", "first").outcome is Outcome.SUCCEEDED
    assert plain.table("warehouse", "daily_bars", "first")["close"].to_list() == [16]

    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA", close="12"))
    assert platform.ingest("first").succeeded
    assert platform.table("warehouse", "daily_bars", "first")["close"].to_list() == [12]


@pytest.mark.parametrize(
    ("compute", "rule", "said"),
    [
        (losing, "rows_are_conserved", "2 rows of silver/prices, 1 in 1 groups"),
        (doubling, "keys_are_unique", "2 rows repeat a key"),
        (bent, "schema_matches_contract", "bars is Int32, expected Int64"),
    ],
)
def test_rows_that_a_computation_loses_repeats_or_bends_are_not_stored(
    compute: Callable[[pl.LazyFrame], pl.LazyFrame], rule: str, said: str, plain: Platform
) -> None:
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA") + bar("BBB"))
    platform = with_gold(plain, replace(BARS, compute=compute))

    run = platform.ingest("first")

    assert f"{rule}: {said}" in run.failures["gold__daily_bars"]
    assert platform.table("gold", "daily_bars", "first").is_empty()
    assert platform.table("warehouse", "prices", "first").height == 2


def test_stored_rows_that_break_a_rule_keep_the_warehouse_copy_back(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA") + bar("BBB"))
    assert plain.ingest("first").succeeded
    stored = plain.table("gold", "daily_bars", "first")
    plain.replace("gold", "daily_bars", "first", stored.head(1))

    checked = run_checks(plain, table="gold/daily_bars")

    assert {key.partition(".")[2] for key in checked.checks} == set(gold_checks(BARS))
    (broken,) = checked.failed_checks.values()
    assert (broken.check_name, broken.partition, broken.blocking) == ("rows_are_conserved", KEY, True)
    assert broken.description == "2 rows of silver/prices, 1 in 1 groups"


def test_among_many_dates_only_that_of_the_broken_rule_is_left(plain: Platform) -> None:
    days = [DATE.replace(day=day) for day in (13, 14, 15)]
    for day, close in zip(days, ("10", "16", "11"), strict=True):
        plain.put(f"first/prices/{day}/a.csv", HEADER + bar("AAA", close=close, date=day))
    platform = with_gold(plain, strict())

    assert load_many(platform, "first", "prices", days).succeeded

    outcomes = [platform.attempt("prices", "first", day).outcome for day in days]
    assert outcomes[0] is outcomes[2] is Outcome.SUCCEEDED and outcomes[1] is Outcome.FAILED
    assert [platform.table("warehouse", "prices", "first", day).height for day in days] == [1, 0, 1]
    assert [platform.table("gold", "daily_bars", "first", day).height for day in days] == [1, 0, 1]
    assert "close_is_low" in (platform.attempt("prices", "first", days[1]).error or "")


def test_a_broken_table_across_institutions_keeps_its_former_rows(plain: Platform) -> None:
    for code in ("first", "second"):
        plain.put(f"{code}/prices/{DATE}/a.csv", HEADER + bar("AAA"))
        assert plain.ingest(code).succeeded
    assert plain.overview().succeeded
    former = plain.table("gold", "market_overview", None)
    rule = row_rule("one_sender", "One institution sends a symbol.", ("institutions",), pl.col("institutions") < 2)
    platform = with_gold(plain, ruled(gold_graph()["market_overview"], rule))

    run = platform.overview()

    assert run.failures.keys() == {"gold__market_overview"} and "one_sender" in run.failures["gold__market_overview"]
    assert not run_op(platform, "overview_many", "overview_dates", {"dates": [str(DATE)]}).succeeded
    for layer in ("gold", "warehouse"):
        assert platform.table(layer, "market_overview", None).equals(former)


RANKS = GoldTable(
    contract=replace(BARS.contract, dataset="ranks", columns=SHARE_COLUMNS, rules_for=lambda _: ()),
    table=replace(BARS.table, name="ranks", columns=(*SHARE_COLUMNS, *PARTITION_COLUMNS)),
    source=("gold", "daily_bars"),
    compute=ranked,
    lineage={"symbol": ("symbol",), "share": ("volume",), "bars": ("bars",)},
    counts="bars",
    counted="bars",
)
"""A table that rests on gold of the same institution."""


def test_an_added_table_that_rests_on_gold_runs_in_every_way(plain: Platform) -> None:
    platform = with_gold(plain, RANKS)
    days = [DATE.replace(day=day) for day in (13, 14, 15)]
    for day in days:
        platform.put(f"first/prices/{day}/a.csv", HEADER + bar("AAA", date=day) + bar("BBB", date=day))
    wanted = platform.graph.gold.publication_of("prices")
    assert wanted["gold/ranks"] == "gold/daily_bars" and wanted["warehouse/ranks"] == "gold/ranks"

    alone = platform.ingest("first", days[0])
    many = load_many(platform, "first", "prices", days[1:])

    assert alone.succeeded and many.succeeded
    for day in days:
        assert platform.attempt("prices", "first", day).outcome is Outcome.SUCCEEDED
        for layer in ("gold", "warehouse"):
            rows = platform.table(layer, "ranks", "first", day).sort("symbol")
            assert rows["share"].to_list() == [0.5, 0.5] and rows["symbol"].to_list() == ["AAA", "BBB"]


def test_an_attempt_is_not_published_while_the_added_table_is_missing(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    platform = with_gold(plain, RANKS)

    assert platform.ingest("first", asset_selection=dataset_assets(["prices"], plain.graph)).succeeded
    assert platform.attempt("prices", "first").outcome is Outcome.CHECKED

    rest = [dg.AssetKey([layer, "ranks"]) for layer in ("gold", "warehouse")]
    assert platform.ingest("first", asset_selection=rest).succeeded
    assert platform.attempt("prices", "first").outcome is Outcome.SUCCEEDED


def test_what_is_gone_from_landing_stays_after_gold_was_broken(plain: Platform) -> None:
    """Bronze has it: a broken rule of gold is no reason to take published rows out."""
    path = plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA", close="16"))
    assert plain.ingest("first").succeeded
    path.unlink()
    plain.ledger.request_replay(institution="first", now=dt.datetime.now(dt.UTC))
    platform = with_gold(plain, strict())
    assert not platform.ingest("first").succeeded

    scan = scan_landing(platform.landing, platform.ledger, None, max_new=None, max_seconds=60)

    assert scan.gone == 0 and platform.ledger.pending_partitions(10) == []
    assert plain.table("warehouse", "prices", "first").height == plain.table("silver", "prices", "first").height == 1
    assert plain.ingest("first").succeeded
    assert plain.table("warehouse", "daily_bars", "first")["close"].to_list() == [16]


def test_silver_that_was_published_while_gold_was_broken_counts_as_published(plain: Platform) -> None:
    """Write modes `append` and `fail` rest on it."""
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA", close="16"))
    platform = with_gold(plain, strict())
    assert not platform.ingest("first").succeeded

    (found,) = platform.objects("prices", "first")

    assert found.state is State.FAILED and found.is_published
    assert platform.ledger.was_published(Delivery("prices", DATE, "first"))


def failing(prices: pl.LazyFrame) -> pl.LazyFrame:
    """A computation that one symbol breaks."""
    return BARS.compute(prices.with_columns(pl.col("symbol").str.replace("AAA", "1").cast(pl.Int64).cast(pl.String)))


def test_a_computation_that_fails_by_one_date_leaves_that_date_alone_and_names_the_table(plain: Platform) -> None:
    days = [DATE.replace(day=day) for day in (13, 14, 15)]
    for day, symbol in zip(days, ("AAA", "BBB", "AAA"), strict=True):
        plain.put(f"first/prices/{day}/a.csv", HEADER + bar(symbol, date=day))
    platform = with_gold(plain, replace(BARS, compute=failing))

    assert load_many(platform, "first", "prices", days).succeeded
    alone = platform.ingest("first", days[1])

    outcomes = [platform.attempt("prices", "first", day).outcome for day in days]
    assert outcomes == [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUCCEEDED]
    assert "gold/daily_bars of 2025-01-14|first: its computation failed" in alone.failures["gold__daily_bars"]


def test_a_picture_is_drawn_of_sound_rows_alone(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    lacking = replace(BARS, compute=lambda rows: BARS.compute(rows).with_columns(high=pl.lit(None, pl.Decimal(18, 8))))

    assert "high_is_present" in with_gold(plain, lacking).ingest("first").failures["gold__daily_bars"]


def test_a_broken_date_across_institutions_holds_back_no_other_one(plain: Platform) -> None:
    days = [DATE.replace(day=day) for day in (13, 14, 15)]
    for day, close in zip(days, ("10", "16", "11"), strict=True):
        plain.put(f"first/prices/{day}/a.csv", HEADER + bar("AAA", close=close, date=day))
        assert plain.ingest("first", day).succeeded
    rule = row_rule("closes_low", "The close is at most 15.", ("highest_close",), pl.col("highest_close") <= 15)
    platform = with_gold(plain, ruled(gold_graph()["market_overview"], rule))

    run = run_op(platform, "overview_many", "overview_dates", {"dates": [str(day) for day in days]})

    (message,) = run.failures.values()
    assert "gold/market_overview of 2025-01-14" in message and "closes_low" in message
    for layer in ("gold", "warehouse"):
        assert [platform.table(layer, "market_overview", None, day).height for day in days] == [1, 0, 1]


def test_a_run_over_many_that_is_stopped_after_its_checks_has_told_of_silver(plain: Platform) -> None:
    """What it leaves is published by a run of gold and warehouse alone, which tells nothing of silver."""
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DuckDBStore, "replace", interrupted)
        assert not load_many(plain, "first", "prices", [DATE]).succeeded

    assert plain.attempt("prices", "first").outcome is Outcome.CHECKED
    for layer in ("bronze", "silver", "quarantine", "reconciliation"):
        assert plain.instance.get_materialized_partitions(dg.AssetKey([layer, "prices"])) >= {KEY}


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_configuration_written_by_hand_is_taken_or_refused_by_name(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    assert load_many(plain, "first", "prices", []).succeeded
    assert load_many(plain, "first", "prices", [DATE, DATE]).succeeded
    assert plain.attempt("prices", "first").outcome is Outcome.SUCCEEDED
    (message,) = load_many(plain, "first", "price", [DATE]).failures.values()
    assert "dataset 'price': no such dataset" in message

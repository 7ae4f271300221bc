"""What follows what in gold, and which tables cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.errors import ConfigurationError, UnknownNameError
from etl_platform.gold.graph import GoldGraph, gold_graph
from etl_platform.gold.table import GoldTable

GRAPH = gold_graph()


def table(name: str, layer: str, source: str, *, shared: bool = False) -> GoldTable:
    like = GRAPH["market_overview" if shared else "daily_bars"]
    return replace(like, table=replace(like.table, name=name), source=(layer, source))


def test_every_file_of_the_folder_is_a_table() -> None:
    assert {found.name for found in GRAPH} == {"daily_bars", "daily_sales", "market_overview", "transaction_summary"}
    assert all(found.name == found.contract.dataset and found.name in GRAPH for found in GRAPH)


def test_each_comes_after_what_it_rests_on_however_they_are_given() -> None:
    chain = [table("c", "gold", "b"), table("b", "gold", "a"), table("a", "silver", "prices")]
    assert [found.name for found in GoldGraph(chain)] == ["a", "b", "c"]


def test_the_tables_of_a_delivery_and_those_across_institutions_are_apart() -> None:
    assert [found.name for found in GRAPH.of("prices")] == ["daily_bars"]
    assert [found.name for found in GRAPH.shared_over("prices")] == ["market_overview"]
    assert GRAPH.of("accounts") == GRAPH.shared_over("accounts") == ()
    assert GRAPH.dataset_of(GRAPH["market_overview"].table) == "prices"
    assert GRAPH.dataset_of(BUILT_IN["accounts"].silver) == "accounts"


def test_datasets_of_tables_leave_out_those_across_institutions() -> None:
    named = [
        ("gold", "daily_bars"),
        ("warehouse", "market_overview"),
        ("gold", "market_overview"),
        ("bronze", "orders"),
    ]
    assert GRAPH.datasets_of(named) == {"prices", "orders"}


def test_a_publication_is_all_tables_with_what_each_is_written_from() -> None:
    graph = GoldGraph([*GRAPH, table("ranks", "gold", "daily_bars")])
    assert graph.publication_of("prices") == {
        "warehouse/prices": None,
        "gold/daily_bars": None,
        "warehouse/daily_bars": "gold/daily_bars",
        "gold/ranks": "gold/daily_bars",
        "warehouse/ranks": "gold/ranks",
    }
    assert graph.publication_of("accounts") == {"warehouse/accounts": None}


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([table("a", "gold", "nothing")], r"gold table a: it rests on gold/nothing; expected silver/<dataset> or"),
        ([table("a", "bronze", "prices")], r"gold table a: it rests on bronze/prices"),
        ([table("a", "gold", "b"), table("b", "gold", "a")], r"they rest on each other: (a -> b -> a|b -> a -> b)"),
        (
            [table("all", "silver", "prices", shared=True), table("own", "gold", "all")],
            r"gold table own: a table of one institution that rests on gold/all across institutions",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(tables: list[GoldTable], said: str) -> None:
    with pytest.raises((ConfigurationError, UnknownNameError), match=said):
        GoldGraph(tables)


def test_lineage_names_columns_of_both_tables() -> None:
    sources = {("silver", name): contract.silver for name, contract in BUILT_IN.items()}
    for found in GRAPH:
        assert set(found.column_lineage) == set(found.table.polars_schema.names())
        below = sources.get(found.source) or (GRAPH.tables[found.source[1]] if found.source[0] == "gold" else None)
        if below is not None:
            used = {name for names in found.column_lineage.values() for name in names}
            assert used <= set(below.polars_schema.names())

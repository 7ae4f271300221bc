"""A corrected key pattern, or another institution, claims files that are loaded: they count once, where it says."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from etl_platform.cli import execute
from etl_platform_tests.cli.test_commands import Shell, etl, home, put
from etl_platform_tests.support.datasets import LEAST, write
from etl_platform_tests.support.platform import HEADER

__all__ = ["etl", "home"]
FIRST, SECOND = dt.date(2025, 1, 15), dt.date(2025, 1, 16)


def sender(tmp_path: Path, code: str, pattern: str, dataset: str = "prices", more: str = "") -> None:
    text = f'code: {code}\nname: {code}\nkey_pattern: "{pattern}"\ndatasets: {{{dataset}: {{}}}}\n{more}\n'
    write(tmp_path / "institutions", text, f"{code}.yaml")
    execute.loaded.cache_clear()


def bar_of(symbol: str, date: dt.date = FIRST) -> str:
    return f"{HEADER}{symbol},{date}T10:00:00Z,10,20,5,10,100\n"


def stored(home: Path, code: str, table: str = "prices", column: str = "symbol") -> list[tuple[str, str]]:
    """Date and symbol, or another column, in the warehouse."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.sql(f"select business_date, {column} from {code}.{table} order by all").fetchall()
    return [(str(date), symbol) for date, symbol in rows]


def volumes(home: Path) -> list[tuple[str, int]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.sql(
            "select symbol, sum(volume) from shared.market_overview group by all order by 1"
        ).fetchall()


def test_files_go_over_to_another_institution(home: Path, etl: Shell, tmp_path: Path) -> None:
    sender(tmp_path, "first", "bank/{dataset}/{date:%Y-%m-%d}/{name}.csv")
    sender(tmp_path, "second", "other/{dataset}/{date:%Y-%m-%d}/{name}.csv")
    for name in ("a", "b", "w"):
        put(home, f"bank/prices/{FIRST}/{name}.csv", bar_of(name.upper()))
    put(home, f"other/prices/{FIRST}/x.csv", bar_of("X"))
    assert etl("run", "--workers", "1").status == 0
    assert etl("withdraw", f"bank/prices/{FIRST}/w.csv", "--reason", "test data").status == 0
    assert etl("run", "--workers", "1").status == 0

    sender(tmp_path, "first", "unused/{dataset}/{date:%Y-%m-%d}/{name}.csv")
    sender(tmp_path, "second", "bank/{dataset}/{date:%Y-%m-%d}/{name}.csv")
    run = etl("run", "--workers", "1")
    assert run.status == 0 and "files given to another partition" in run.out
    assert (stored(home, "first"), stored(home, "second")) == (
        [],
        [(str(FIRST), symbol) for symbol in ("A", "B", "X")],
    ), "what no pattern claims any more stays where it is"
    assert volumes(home) == [("A", 100), ("B", 100), ("X", 100)]
    assert "nothing to run" in etl("run").out

    put(home, f"bank/prices/{FIRST}/c.csv", bar_of("C"))
    assert etl("run", "--workers", "1").status == 0
    assert [symbol for _, symbol in stored(home, "second")] == ["A", "B", "C", "X"], "what is withdrawn stays so"
    assert etl("withdraw", f"bank/prices/{FIRST}/w.csv", "--undo").status == 0
    assert etl("run", "--workers", "1").status == 0
    assert [symbol for _, symbol in stored(home, "second")] == ["A", "B", "C", "W", "X"]

    sender(tmp_path, "second", "other/{dataset}/{date:%Y-%m-%d}/{name}.csv")
    sender(tmp_path, "first", "bank/{dataset}/{date:%Y-%m-%d}/{name}.csv")
    assert etl("run", "--workers", "1").status == 0
    assert [symbol for _, symbol in stored(home, "first")] == ["A", "B", "C", "W"], "and all of it back"
    assert [symbol for _, symbol in stored(home, "second")] == ["X"]


def test_the_date_is_another_part_of_the_key(home: Path, etl: Shell, tmp_path: Path) -> None:
    sender(tmp_path, "first", "first/{dataset}/{date:%Y-%m-%d}_{name}_{sent}.csv")
    put(home, f"first/prices/{FIRST}_a_{SECOND:%Y%m%d}.csv", bar_of("A", SECOND).replace("T10", "T00"))
    assert etl("run", "--workers", "1").status == 0
    assert stored(home, "first") == [(str(FIRST), "A")]
    sender(tmp_path, "first", "first/{dataset}/{sent}_{name}_{date:%Y%m%d}.csv")
    assert etl("run", "--workers", "1").status == 0
    assert stored(home, "first") == [(str(SECOND), "A")]
    put(home, f"first/prices/{FIRST}_b_{SECOND:%Y%m%d}.csv", bar_of("B", SECOND))
    assert etl("run", "--workers", "1").status == 0
    assert stored(home, "first") == [(str(SECOND), "A"), (str(SECOND), "B")]


def test_a_file_is_replaced_before_anybody_sees_the_new_pattern(home: Path, etl: Shell, tmp_path: Path) -> None:
    sender(tmp_path, "first", "first/{dataset}/{date:%Y-%m-%d}_{sent}.csv")
    key = f"first/prices/{FIRST}_{SECOND:%Y%m%d}.csv"
    put(home, key, bar_of("A", FIRST))
    assert etl("run", "--workers", "1").status == 0
    put(home, key, bar_of("B", SECOND))
    sender(tmp_path, "first", "first/{dataset}/{sent}_{date:%Y%m%d}.csv")
    assert etl("run", "--workers", "1").status == 0
    assert stored(home, "first") == [(str(SECOND), "B")], "what it replaces is gone from where it was"
    (home / "landing" / key).unlink()
    assert "nothing to run" in etl("run").out
    assert stored(home, "first") == [(str(SECOND), "B")]


def test_a_file_that_is_replaced_while_no_pattern_claims_it(home: Path, etl: Shell, tmp_path: Path) -> None:
    sender(tmp_path, "one", DAYS)
    key = f"one/prices/{FIRST}_{SECOND:%Y%m%d}.csv"
    put(home, key, bar_of("OLD"))
    assert etl("run", "--workers", "1").status == 0
    sender(tmp_path, "one", "unused/{dataset}/{date:%Y-%m-%d}_{sent}.csv")
    put(home, key, bar_of("NEW", SECOND))
    assert "1 objects belong to nobody" in etl("run", "--workers", "1").out
    assert stored(home, "one") == [(str(FIRST), "OLD")], "a mistake in a pattern empties no table"
    sender(tmp_path, "one", SENT)
    assert etl("run", "--workers", "1").status == 0
    assert stored(home, "one") == [(str(SECOND), "NEW")]
    assert "nothing to run" in etl("run").out


@pytest.mark.parametrize("is_waiting", [False, True])
def test_an_institution_is_renamed(home: Path, etl: Shell, tmp_path: Path, is_waiting: bool) -> None:
    sender(tmp_path, "first", "bank/{dataset}/{date:%Y-%m-%d}/{name}.csv")
    for date in (FIRST, SECOND):
        put(home, f"bank/prices/{date}/a.csv", bar_of("A", date))
    assert etl("run", "--workers", "1").status == 0
    if is_waiting:
        assert etl("replay", "--institution", "first").status == 0
    (tmp_path / "institutions" / "first.yaml").unlink()
    sender(tmp_path, "third", "bank/{dataset}/{date:%Y-%m-%d}/{name}.csv")
    assert etl("run", "--workers", "1").status == 0
    assert stored(home, "third") == [(str(FIRST), "A"), (str(SECOND), "A")]
    assert volumes(home) == [("A", 200)]
    assert "nothing to run" in etl("run").out and etl("status").status == 0


DAYS = "one/{dataset}/{date:%Y-%m-%d}_{sent}.csv"
SENT = "one/{dataset}/{day}_{date:%Y%m%d}.csv"


def held_back(home: Path, etl: Shell, tmp_path: Path, folder: str) -> Path:
    """Another pattern, by which the next partition has a file that holds it back. Returns that file."""
    sender(tmp_path, "one", SENT, folder)
    bad = put(home, f"one/{folder}/zz_{SECOND:%Y%m%d}.csv", "")
    assert etl("run", "--workers", "1").status == 1
    return bad


def test_what_was_published_stays_until_its_new_partition_has_it(
    home: Path, etl: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In `append` all contents of a key count: the one that is replaced on its way counts where it was."""
    write(tmp_path / "datasets", f"{LEAST}write_mode: append\n")
    monkeypatch.setenv("ETL_DATASETS_PATH", str(tmp_path / "datasets"))
    sender(tmp_path, "one", DAYS, "visits")
    key = f"one/visits/{FIRST}_{SECOND:%Y%m%d}.csv"
    put(home, key, "visit_id,pages\nA,1\nB,2\n")
    assert etl("run", "--workers", "1").status == 0
    bad = held_back(home, etl, tmp_path, "visits")
    put(home, key, "visit_id,pages\nC,3\n")
    bad.unlink()
    assert etl("run", "--workers", "1").status == 0
    assert stored(home, "one", "visits", "visit_id") == [(str(FIRST), "A"), (str(FIRST), "B"), (str(SECOND), "C")]
    assert "nothing to run" in etl("run").out


@pytest.mark.parametrize("ends", ["withdrawn", "deleted"])
def test_what_it_had_replaced_does_not_come_back(home: Path, etl: Shell, tmp_path: Path, ends: str) -> None:
    sender(tmp_path, "one", DAYS)
    key = f"one/prices/{FIRST}_{SECOND:%Y%m%d}.csv"
    for symbol in ("OLD", "NEW"):
        put(home, key, bar_of(symbol))
        assert etl("run", "--workers", "1").status == 0
    bad = held_back(home, etl, tmp_path, "prices")
    if ends == "withdrawn":
        assert etl("withdraw", key, "--reason", "wrong").status == 0
    else:
        (home / "landing" / key).unlink()
    bad.unlink()
    assert etl("run", "--workers", "1").status == 0
    left = [symbol for _, symbol in stored(home, "one")]
    assert left == ([] if ends == "withdrawn" else ["NEW"]) and etl("status").status == 0


def test_a_pattern_that_is_put_back_brings_final_rows_back(
    home: Path, etl: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "datasets", f"{LEAST}write_mode: fail\n")
    monkeypatch.setenv("ETL_DATASETS_PATH", str(tmp_path / "datasets"))
    sender(tmp_path, "one", DAYS, "visits")
    for name, sent in (("A", FIRST), ("B", SECOND)):
        put(home, f"one/visits/{FIRST}_{sent:%Y%m%d}.csv", f"visit_id,pages\n{name},1\n")
    for pattern, second in ((DAYS, FIRST), (SENT, SECOND), (DAYS, FIRST)):
        sender(tmp_path, "one", pattern, "visits")
        assert etl("run", "--workers", "1").status == 0
        assert stored(home, "one", "visits", "visit_id") == [(str(FIRST), "A"), (str(second), "B")]


def test_a_place_with_two_names_has_one_file(home: Path, etl: Shell, tmp_path: Path) -> None:
    """Two institutions with the same landing of their own: the file changes hands and is replaced in one go."""
    landing = f"landing: {home}/shared"
    for code, folder in (("first", "bank"), ("second", "other")):
        sender(tmp_path, code, f"{folder}/{{dataset}}/{{date:%Y-%m-%d}}/{{name}}.csv", more=landing)
    file = home / "shared" / "bank" / "prices" / str(FIRST) / "a.csv"
    file.parent.mkdir(parents=True)
    file.write_text(bar_of("OLD"))
    assert etl("run", "--workers", "1").status == 0 and stored(home, "first") == [(str(FIRST), "OLD")]
    for code, folder in (("first", "unused"), ("second", "bank")):
        sender(tmp_path, code, f"{folder}/{{dataset}}/{{date:%Y-%m-%d}}/{{name}}.csv", more=landing)
    file.write_text(bar_of("NEW"))
    assert etl("run", "--workers", "1").status == 0
    assert (stored(home, "first"), stored(home, "second")) == ([], [(str(FIRST), "NEW")])
    assert volumes(home) == [("NEW", 100)]


def test_a_renamed_institution_keeps_what_is_withdrawn_of_its_own_landing(
    home: Path, etl: Shell, tmp_path: Path
) -> None:
    landing = f"landing: {home}/own"
    sender(tmp_path, "first", "bank/{dataset}/{date:%Y-%m-%d}/{name}.csv", more=landing)
    for name in ("a", "b"):
        put(home, f"../own/bank/prices/{FIRST}/{name}.csv", bar_of(name.upper()))
    assert etl("run", "--workers", "1").status == 0
    assert etl("withdraw", f"bank/prices/{FIRST}/b.csv", "--reason", "test data").status == 0
    (tmp_path / "institutions" / "first.yaml").unlink()
    sender(tmp_path, "third", "bank/{dataset}/{date:%Y-%m-%d}/{name}.csv", more=landing)
    assert etl("run", "--workers", "1").status == 0
    assert stored(home, "third") == [(str(FIRST), "A")] and volumes(home) == [("A", 100)]

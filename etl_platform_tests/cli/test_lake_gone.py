"""A lake that is not there, or is looked for in the wrong place, is no empty lake: nothing is published without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_platform.cli import execute
from etl_platform_tests.cli.test_commands import Shell, etl, home, put
from etl_platform_tests.cli.test_shared_keys import counted
from etl_platform_tests.support.datasets import write
from etl_platform_tests.support.platform import HEADER, bar

__all__ = ["etl", "home"]


def bars(*symbols: str) -> str:
    return HEADER + "".join(bar(symbol, n, f"{10 + n}.5") for n, symbol in enumerate(symbols))


@pytest.mark.parametrize(
    ("place", "is_new_process"),
    [
        ("not mounted", False),
        ("another prefix", True),
        pytest.param("not mounted", True, marks=pytest.mark.long),
        pytest.param("an empty mount point", True, marks=pytest.mark.long),
        pytest.param("an empty mount point", False, marks=pytest.mark.long),
    ],
)
def test_what_arrives_meanwhile_waits_and_no_row_is_lost(
    home: Path, etl: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, is_new_process: bool
) -> None:
    for code in ("first", "second"):
        write(tmp_path / "institutions", f"code: {code}\nname: {code}\ndatasets: {{prices: {{}}}}\n", f"{code}.yaml")
    day = "prices/2025-01-15"
    put(home, f"second/{day}/a.csv", bars("SEC"))
    deleted = put(home, f"first/{day}/a.csv", bars("AAA", "BBB"))
    assert etl("run", "--workers", "1").status == 0
    deleted.unlink()  # stays part of its partition
    lake, away = home / "lake", home / "lake.away"
    if place == "another prefix":
        monkeypatch.setenv("ETL_LAKE", str(home / "lake2"))
    else:
        lake.rename(away)
    if is_new_process:
        execute.loaded.cache_clear()
    if place == "an empty mount point":
        lake.mkdir()
    put(home, f"first/{day}/b.csv", bars("CCC"))
    gone = etl("run", "--workers", "1")
    assert gone.status == 1 and "waiting for lake: first prices 2025-01-15" in gone.out, gone.out
    doctor = etl("doctor")
    assert doctor.status == 1 and "of which the ledger has published" in doctor.out
    assert etl("run", "--workers", "1").status == 1, "it is asked for again, and still not there"
    if place == "another prefix":
        monkeypatch.delenv("ETL_LAKE")
    else:
        # The folder that stands in for the mount holds nothing that was written meanwhile.
        assert not lake.is_dir() or not [path for path in lake.rglob("*") if path.is_file()]
        if lake.is_dir():
            lake.rmdir()
        away.rename(lake)
    if is_new_process:
        execute.loaded.cache_clear()
    assert etl("run", "--workers", "1").status == 0
    assert counted(home, "select symbol from first.prices order by 1") == [("AAA",), ("BBB",), ("CCC",)]
    assert counted(home, "select count(*) from shared.market_overview") == [(4,)]
    assert etl("status").status == 0


def test_an_unused_platform_begins_with_an_empty_lake(home: Path, etl: Shell, tmp_path: Path) -> None:
    write(tmp_path / "institutions", "code: first\nname: first\ndatasets: {prices: {}}\n", "first.yaml")
    put(home, "first/prices/2025-01-15/a.csv", bars("AAA"))
    assert etl("run", "--workers", "1").status == 0
    assert etl("doctor").status == 0

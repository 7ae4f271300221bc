"""Late, overwritten, deleted and repeated files: the partition is what was delivered last, and nothing is twice."""

from __future__ import annotations

import os

from polars.testing import assert_frame_equal

from etl_platform.ledger.records import State
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar

FOLDER = f"first/prices/{DATE}"


def symbols(platform: Platform, layer: str = "warehouse") -> list[str]:
    return sorted(platform.table(layer, "prices", "first")["symbol"])


def closes(platform: Platform) -> dict[str, str]:
    rows = platform.table("warehouse", "prices", "first")
    return {symbol: str(close.normalize()) for symbol, close in rows.select("symbol", "close").rows()}


def age(platform: Platform, key: str, seconds: int) -> None:
    """Set a file's modification time, which is the order of delivery."""
    os.utime(platform.landing_folder / key, (1_700_000_000 + seconds,) * 2)


def test_a_late_file_joins_its_partition(plain: Platform) -> None:
    plain.put(f"{FOLDER}/a.csv", HEADER + bar("AAA"))
    assert plain.ingest("first").succeeded
    plain.put(f"{FOLDER}/b.csv", HEADER + bar("BBB"))

    run = plain.ingest("first")

    assert run.succeeded and symbols(plain) == ["AAA", "BBB"]
    assert run.metadata("bronze/prices")["objects_new"].value == 1
    assert {o.state for o in plain.objects("prices", "first")} == {State.LOADED}


def test_an_overwritten_file_replaces_its_rows_and_its_old_copy_stays_on_record(plain: Platform) -> None:
    plain.put(f"{FOLDER}/a.csv", HEADER + bar("AAA") + bar("BBB"))
    assert plain.ingest("first").succeeded
    plain.put(f"{FOLDER}/a.csv", HEADER + bar("CCC"))

    assert plain.ingest("first").succeeded

    assert symbols(plain) == symbols(plain, "silver") == ["CCC"]
    manifest = plain.table("bronze", "prices", "first").sort("is_current")
    assert manifest["is_current"].to_list() == [False, True] and manifest["uri"].n_unique() == 1
    assert sorted(o.state for o in plain.objects("prices", "first")) == [State.LOADED, State.SUPERSEDED]
    for name in manifest["object"]:
        assert (plain.settings.root / "lake").joinpath(*name.replace("=", "%3D").split("/")).exists() or any(
            p.name == name.rsplit("/", 1)[-1] for p in (plain.settings.root / "lake").rglob("*")
        )


def test_a_file_deleted_from_landing_stays_part_of_its_partition(plain: Platform) -> None:
    plain.put(f"{FOLDER}/a.csv", HEADER + bar("AAA"))
    gone = plain.put(f"{FOLDER}/b.csv", HEADER + bar("BBB"))
    assert plain.ingest("first").succeeded
    gone.unlink()

    assert plain.ingest("first").succeeded

    assert symbols(plain) == ["AAA", "BBB"]
    assert {o.state for o in plain.objects("prices", "first")} == {State.LOADED}


def test_the_same_file_under_another_name_counts_as_duplicates(plain: Platform) -> None:
    body = HEADER + bar("AAA") + bar("BBB")
    plain.put(f"{FOLDER}/a.csv", body)
    plain.put(f"{FOLDER}/again.csv", body)

    assert plain.ingest("first").succeeded

    assert symbols(plain) == ["AAA", "BBB"]
    account = plain.table("reconciliation", "prices", "first")
    assert (account["rows_read"].sum(), account["rows_silver"].sum(), account["rows_duplicate"].sum()) == (4, 2, 2)
    counts = sorted((o.rows_silver or 0, o.rows_duplicate or 0) for o in plain.objects("prices", "first"))
    assert counts == [(0, 2), (2, 0)]


def test_the_later_delivery_wins_and_the_earlier_row_is_in_quarantine(plain: Platform) -> None:
    keys = [f"{FOLDER}/z.csv", f"{FOLDER}/a.csv"]  # the names sort against the order of delivery
    plain.put(keys[0], HEADER + "".join(bar(f"S{c}") for c in "ABCDEFGHIJ") + bar("AAA", close="10"))
    plain.put(keys[1], HEADER + bar("AAA", close="11"))
    for seconds, key in enumerate(keys):
        age(plain, key, seconds * 10)

    assert plain.ingest("first").succeeded

    assert closes(plain)["AAA"] == "11"
    (refused,) = plain.table("quarantine", "prices", "first").rows(named=True)
    assert (refused["kind"], refused["_source_file"], refused["_source_row"]) == ("superseded", keys[0], 12)
    assert refused["rules"] == ["row_is_latest_of_its_key"]


def test_a_late_old_file_does_not_replace_newer_rows(plain: Platform) -> None:
    plain.put(f"{FOLDER}/new.csv", HEADER + "".join(bar(f"S{c}") for c in "ABCDEFGHIJ") + bar("AAA", close="11"))
    age(plain, f"{FOLDER}/new.csv", 10)
    assert plain.ingest("first").succeeded
    plain.put(f"{FOLDER}/old.csv", HEADER + bar("AAA", close="10"))
    age(plain, f"{FOLDER}/old.csv", 0)  # becomes visible late, was written before

    assert plain.ingest("first").succeeded

    assert closes(plain)["AAA"] == "11"


def test_running_again_after_every_kind_of_delivery_changes_nothing(plain: Platform) -> None:
    plain.put(f"{FOLDER}/a.csv", HEADER + bar("AAA") + bar("BBB"))
    plain.ingest("first")
    plain.put(f"{FOLDER}/a.csv", HEADER + "".join(bar(f"S{c}") for c in "ABCDEFGHIJKLM"))
    plain.put(f"{FOLDER}/b.csv", HEADER + bar("SA", close="12")).touch()
    plain.ingest("first")
    (plain.landing_folder / FOLDER / "b.csv").unlink()
    before = {layer: plain.table(layer, "prices", "first") for layer in ("bronze", "silver", "quarantine", "warehouse")}

    assert plain.ingest("first").succeeded

    for layer, rows in before.items():
        now = plain.table(layer, "prices", "first")
        columns = [name for name in rows.columns if name != "_processed_at"]
        assert_frame_equal(now.select(columns), rows.select(columns), check_row_order=False)

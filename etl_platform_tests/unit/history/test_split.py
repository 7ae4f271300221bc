"""A file of many dates in one object per date: the sender's own text, every row once, nothing written by halves."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_platform.contracts.datasets.prices import PRICES
from etl_platform.errors import ConfigurationError
from etl_platform.history.plan import HistoryImport, Writing, compare, require_places, write
from etl_platform.history.rows_by_date import Shelf
from etl_platform.institutions.loader import bind_contract
from etl_platform.institutions.model import Institution
from etl_platform.object_store.open import open_object_store

FIRST, LAST = dt.date(2000, 1, 1), dt.date(2030, 1, 1)
HEADER = ",Open,High,Low,Close,Volume\n"
COLUMNS = {"": "timestamp", "Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}


def institution(pattern: str = "{institution}/{dataset}/{date:%Y-%m-%d}/{symbol}.csv", **config: Any) -> Institution:
    zone = config.pop("zone", "UTC")
    prices = {"columns": COLUMNS, **config}
    if "{symbol}" in pattern:
        prices["columns_from_key"] = {"symbol": "symbol"}
    return Institution.model_validate(
        {"code": "market", "name": "Market", "time_zone": zone, "key_pattern": pattern, "datasets": {"prices": prices}}
    )


class Importing:
    """Imports of one institution into one landing folder."""

    def __init__(self, folder: Path, sender: Institution) -> None:
        self.folder, self.sender = folder, sender
        self.landing = open_object_store(str(folder / "landing"))
        self._imports = 0

    def run(
        self, name: str, content: bytes | str, undated_to: dt.date | None = None, *, may_replace: bool = False
    ) -> list[Writing]:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self._imports += 1
        shelf = Shelf(self.folder / f"shelf{self._imports}")
        shelf.folder.mkdir()
        plan = HistoryImport(path, self.sender, bind_contract(PRICES, self.sender), {})
        file = plan.open()
        rows = sum(file.shelve(plan.dating(), shelf, undated_to))
        require_places(shelf, plan, undated_to, FIRST, LAST)
        assert rows == shelf.rows_in_all
        wanted = compare(shelf, plan, file, self.landing, may_replace=may_replace)
        return [what for _, what in write(shelf, plan, file, self.landing, wanted)]

    @property
    def objects(self) -> dict[str, bytes]:
        return {found.key: self.landing.read_bytes(found.key) for found in self.landing.list()}


def test_each_date_gets_header_and_its_own_lines_as_they_were(tmp_path: Path) -> None:
    importing = Importing(tmp_path, institution())
    lines = ["2004-08-19,100,104.06,95.96,100.340,22351900\n", "2004-08-20,1e2,109.08,100.5,+108.31,11428600"]

    assert importing.run("GOOG.csv", HEADER + "".join(lines)) == [Writing.NEW] * 2

    assert importing.objects == {
        "market/prices/2004-08-19/GOOG.csv": (HEADER + lines[0]).encode(),
        "market/prices/2004-08-20/GOOG.csv": (HEADER + lines[1] + "\n").encode(),
    }


def test_rows_of_a_date_are_found_wherever_they_stand(tmp_path: Path) -> None:
    importing = Importing(tmp_path, institution())
    days = [dt.date(2020, 1, 1) + dt.timedelta(days=n * 7 % 50) for n in range(20_000)]
    lines = [f"{day} 10:00:00,{n},{n},{n},{n},{'x' * 150}\n" for n, day in enumerate(days)]

    importing.run("AAA.csv", HEADER + "".join(lines))  # three megabytes: several blocks

    for day in sorted(set(days)):
        own = "".join(line for line, of in zip(lines, days, strict=True) if of == day)
        assert importing.objects[f"market/prices/{day}/AAA.csv"].decode() == HEADER + own


def test_quotes_line_ends_encoding_and_comments_stay(tmp_path: Path) -> None:
    options = {"type": "csv", "delimiter": "§", "encoding": "latin-1", "comment": "#"}
    # The second line of the text looks like a record: without `multiline` it would be taken for one.
    options["multiline"] = "trusted"
    importing = Importing(tmp_path, institution(format=options, columns={"Zeit": "timestamp"}))
    row = '2020-01-01§"é\r\n§ ""x"""\r\n'

    importing.run("A.csv.gz", gzip.compress(("# made by hand\r\nZeit§Text\r\n\r\n" + row).encode("latin-1")))

    assert importing.objects == {"market/prices/2020-01-01/A.csv": ("Zeit§Text\r\n" + row).encode("latin-1")}


def test_every_object_of_a_sender_with_wide_characters_can_be_read_alone(tmp_path: Path) -> None:
    importing = Importing(tmp_path, institution(format={"type": "csv", "encoding": "utf-16"}))
    importing.run("A.csv", (HEADER + "2020-01-01,1,1,1,1,1\n2020-01-02,1,1,1,1,1\n").encode("utf-16"))
    assert [content.decode("utf-16") for content in importing.objects.values()] == [
        HEADER + "2020-01-01,1,1,1,1,1\n",
        HEADER + "2020-01-02,1,1,1,1,1\n",
    ]


def test_the_business_date_is_that_of_the_institutions_clock(tmp_path: Path) -> None:
    importing = Importing(tmp_path, institution(zone="America/New_York", times={"time_zone": "UTC"}))
    importing.run("A.csv", HEADER + "2020-01-02T04:59:00,1,1,1,1,1\n2020-01-02T05:00:00,1,1,1,1,1\n")
    assert list(importing.objects) == ["market/prices/2020-01-01/A.csv", "market/prices/2020-01-02/A.csv"]


def test_json_lines_keep_their_numbers(tmp_path: Path) -> None:
    sender = institution(
        "{institution}/{dataset}/{date:%Y%m%d}/...", format={"type": "json"}, columns={"t": "timestamp"}
    )
    importing = Importing(tmp_path, sender)
    lines = ['{"t": "2020-01-02", "open": 1.10000000000000000001}\n', '{"open":1e5,"t":"2020-01-01"}\n']

    importing.run("A.jsonl", "".join(lines))

    assert importing.objects == {
        "market/prices/20200101/A.jsonl": lines[1].encode(),
        "market/prices/20200102/A.jsonl": lines[0].encode(),
    }


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    sender = institution("{institution}/{dataset}/{date:%Y-%m-%d}/...", format={"type": "parquet"}, columns={})
    importing = Importing(tmp_path, sender)
    days = [dt.datetime(2020, 1, 1 + n % 3, tzinfo=dt.UTC) for n in range(9)]
    prices = [Decimal(f"{n}.00000001") for n in range(9)]
    rows = pl.DataFrame(
        {"timestamp": days, "open": prices, "symbol": ["A"] * 9}, schema_overrides={"open": pl.Decimal(18, 8)}
    )
    rows.write_parquet(tmp_path / "A.parquet")

    importing.run("A.parquet", (tmp_path / "A.parquet").read_bytes())

    parts = [pl.read_parquet(content) for content in importing.objects.values()]
    assert [part.height for part in parts] == [3, 3, 3]
    assert pl.concat(parts).equals(rows.sort("timestamp", maintain_order=True))


def test_int96_timestamps_of_any_year_are_cut_as_what_they_say(tmp_path: Path) -> None:
    sender = institution("{institution}/{dataset}/{date:%Y-%m-%d}/...", format={"type": "parquet"}, columns={})
    importing = Importing(tmp_path, sender)
    never = dt.datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - INT96 has no zone
    days = [dt.datetime(2020, 1, 1 + n % 2) for n in range(4)]  # noqa: DTZ001
    rows = pa.table(
        {"timestamp": pa.array(days, pa.timestamp("us")), "until": pa.array([never] * 4, pa.timestamp("us"))}
    )
    pq.write_table(rows, tmp_path / "A.parquet", use_deprecated_int96_timestamps=True)

    importing.run("A.parquet", (tmp_path / "A.parquet").read_bytes())

    parts = [pl.read_parquet(content) for content in importing.objects.values()]
    assert [part["until"].to_list() for part in parts] == [[never] * 2] * 2


def test_the_same_import_again_writes_nothing_and_an_interrupted_one_goes_on(tmp_path: Path) -> None:
    importing = Importing(tmp_path, institution())
    content = HEADER + "2020-01-01,1,1,1,1,1\n2020-01-02,1,1,1,1,1\n2020-01-03,1,1,1,1,1\n"
    importing.run("A.csv", content)
    assert importing.run("A.csv", content) == [Writing.SAME] * 3

    importing.landing.delete("market/prices/2020-01-02/A.csv")
    assert importing.run("A.csv", content) == [Writing.SAME, Writing.NEW, Writing.SAME]


def test_a_file_that_overlaps_another_takes_its_place_only_where_that_is_asked_for(tmp_path: Path) -> None:
    importing = Importing(tmp_path, institution())
    content = HEADER + "2020-01-01,1,1,1,1,1\n2020-01-02,1,1,1,1,1\n2020-01-03,1,1,1,1,1\n"
    importing.run("A.csv", content)
    before = importing.objects
    other = content.replace("03,1", "03,2") + "2020-01-04,1,1,1,1,1\n"

    with pytest.raises(ConfigurationError, match=r"1 dates .*2020-01-03/A.csv; .*nothing was written.*--replace"):
        importing.run("A.csv", other)

    assert importing.objects == before
    wanted = [Writing.SAME, Writing.SAME, Writing.REPLACED, Writing.NEW]
    assert importing.run("A.csv", other, may_replace=True) == wanted


def test_rows_without_a_date_stop_the_import_with_their_lines(tmp_path: Path) -> None:
    importing = Importing(tmp_path, institution())
    content = HEADER + "2020-01-01,1,1,1,1,1\nyesterday,1,1,1,1,1\n,1,1,1,1,1\n2020-01-02,1,1\n"

    with pytest.raises(
        ConfigurationError, match=r"3 rows without a readable event time: lines 3, 4, 5\b.*--undated-to"
    ):
        importing.run("A.csv", content)

    assert importing.objects == {}


def test_rows_without_a_date_can_be_sent_to_quarantine(tmp_path: Path) -> None:
    importing = Importing(tmp_path, institution())
    content = HEADER + "2020-01-01,1,1,1,1,1\nyesterday,1,1,1,1,1\n2020-01-02,1,1\n"
    importing.run("A.csv", content, undated_to=dt.date(2020, 1, 1))
    assert importing.objects == {"market/prices/2020-01-01/A.csv": content.encode()}


@pytest.mark.parametrize(
    ("format", "content", "message"),
    [
        (
            {"type": "csv", "trailer": "^END (?P<rows>[0-9]+)$"},
            HEADER + "2020-01-01,1,1,1,1,1\nEND 1\n",
            "control line",
        ),
        ({"type": "json"}, json.dumps([{"timestamp": "2020-01-01"}]), "JSON array"),
        ({"type": "json"}, json.dumps({"timestamp": "2020-01-01"}, indent=1), "over several lines"),
        ({"type": "csv"}, "Open,High\n1,1\n", "columns 'Open', 'High'"),
        ({"type": "csv"}, HEADER + "1999-12-31,1,1,1,1,1\n", "set ETL_FIRST_DATE=1999-12-31"),
        ({"type": "csv"}, HEADER, "no row"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_nothing_written(
    tmp_path: Path, format: dict[str, str], content: str, message: str
) -> None:
    importing = Importing(tmp_path, institution(format=format))
    with pytest.raises(ConfigurationError, match=message):
        importing.run("A.csv", content)
    assert importing.objects == {}


def test_a_name_that_the_key_cannot_carry_is_refused(tmp_path: Path) -> None:
    sender = institution("{institution}/{dataset}/{date:%Y-%m-%d}/{venue}-{symbol}.csv")
    with pytest.raises(ConfigurationError, match="--name venue=VALUE"):
        Importing(tmp_path, sender).run("A.csv", HEADER + "2020-01-01,1,1,1,1,1\n")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("BRK.A.csv", "BRK.A"),
        ("BRK.B.csv.gz", "BRK.B"),
        ("4063.T.jsonl.zst", "4063.T"),
        ("BF.B.NDJSON", "BF.B"),
        ("RDS.A.parquet", "RDS.A"),
        ("GOOG.csv.zip", "GOOG"),
        ("GOOG.gz", "GOOG"),
        ("BRK.B", "BRK.B"),
        ("X.GZ.csv", "X.GZ"),
        (".csv", ".csv"),
    ],
)
def test_only_known_endings_are_cut_from_a_files_name(name: str, stem: str) -> None:
    plan = HistoryImport(Path(name), institution(), PRICES, {})
    assert plan.stem == stem


def test_two_classes_of_a_share_are_two_symbols(tmp_path: Path) -> None:
    importing = Importing(tmp_path, institution())
    for name, date in (("BRK.A", "2025-01-15"), ("BRK.B", "2025-01-16")):
        importing.run(f"{name}.csv", f"{HEADER}{date},1,2,0.5,1.5,10\n")

    keys = {"market/prices/2025-01-15/BRK.A.csv", "market/prices/2025-01-16/BRK.B.csv"}
    written = {str(path.relative_to(tmp_path / "landing")) for path in (tmp_path / "landing").rglob("*.csv")}
    assert written == keys
    found = [importing.sender.pattern("prices").match(key, "market", "prices") for key in keys]
    assert {match.captured["symbol"] for match in found if match} == {"BRK.A", "BRK.B"}

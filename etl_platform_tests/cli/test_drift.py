"""`etl-platform plan` tells what would happen and does nothing of it; `drift list` tells what was different."""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from etl_platform.cli import execute
from etl_platform_tests.cli.test_commands import Shell, deliver, etl, home, put
from etl_platform_tests.support.platform import DATE, HEADER, bar, plain_senders
from etl_platform_tests.support.s3 import S3Bucket, s3_bucket, s3_server  # noqa: F401

__all__ = ["etl", "home"]

NEXT_DATE = DATE + dt.timedelta(days=1)
VENUE = HEADER.replace("\n", ",venue\n")


class _Written:
    """Every file that this process opens for writing, creates or renames, while it listens."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.listens = False

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.listens and self._is_write(event, arguments):
            self.paths.append(str(arguments[0]))

    def _is_write(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            return isinstance(arguments[0], str) and self._writes(arguments)
        if event == "sqlite3.connect":
            return not any(word in str(arguments[0]) for word in ("mode=ro", ":memory:"))
        return event in {"os.mkdir", "os.rename", "os.truncate", "os.link", "os.symlink"}

    @staticmethod
    def _writes(arguments: tuple[Any, ...]) -> bool:
        _, mode, flags = arguments
        return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & 0b11)


WRITTEN = _Written()
sys.addaudithook(WRITTEN.hear)  # a hook stays for the life of the process: it listens only where asked


@contextmanager
def nothing_is_written(root: Path) -> Iterator[None]:
    """Hold that everything below `root` stays byte for byte, and that temporary files go as they came."""
    before, temporary = _snapshot(root), set(Path(tempfile.gettempdir()).glob("etl-plan-*"))
    WRITTEN.paths, WRITTEN.listens = [], True
    try:
        yield
    finally:
        WRITTEN.listens = False
    assert _snapshot(root) == before
    assert set(Path(tempfile.gettempdir()).glob("etl-plan-*")) <= temporary
    assert [path for path in WRITTEN.paths if "etl-plan-" not in path and not path.startswith("/dev/")] == []


def _snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in root.rglob("*") if path.is_file()]
    folders = {str(path): (0, b"") for path in root.rglob("*") if path.is_dir()}
    return folders | {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_good_file_would_load_and_nothing_is_written(home: Path, etl: Shell, tmp_path: Path) -> None:
    deliver(home, "first", DATE)
    with nothing_is_written(tmp_path):
        done = etl("plan", f"first/prices/{DATE}/a.csv")
    assert done.status == 0, done.out + done.err
    for text in (
        "dataset          prices",
        f"partition        {DATE}|first",
        "verdict          LOAD",
        "no differences",
    ):
        assert text in done.out
    assert "1 read = 1 silver + 0 quarantined + 0 duplicates" in done.out
    assert not (home / "ledger.db").exists() and not (home / "lake").exists()


def test_defects_are_listed_and_the_limit_is_applied(home: Path, etl: Shell, tmp_path: Path) -> None:
    lines = [bar("AAA", n, close="n/a" if n < 25 else "10") for n in range(30)]
    path = put(home, f"first/prices/{DATE}/a.csv", HEADER + "".join(lines) + "AAA,too short\n")
    with nothing_is_written(tmp_path):
        done = etl("plan", str(path))
    assert done.status == 1
    assert "QUARANTINE 26 of 31 rows" in done.out and "first 20 of 26 defects" in done.out
    assert "83.9% of the partition's rows would be quarantined, limit 10.0%" in done.out
    (line,) = [line for line in done.out.splitlines() if "T10:00:00Z" in line]
    assert [part.strip() for part in line.split("│")[1:4]] == [
        "2",
        "close_is_typed",
        "n/a",
    ] and "AAA,2025-01-15" in line
    assert done.out.count("close_is_typed") == 20


def test_a_refused_file_says_why(home: Path, etl: Shell, tmp_path: Path) -> None:
    put(home, f"first/prices/{DATE}/a.csv", HEADER.replace("close", "close_price") + bar("AAA"))
    with nothing_is_written(tmp_path):
        done = etl("plan", f"first/prices/{DATE}/a.csv")
    assert done.status == 1 and "REFUSE file_has_required_columns" in done.out and "also close" in done.out
    assert "perhaps close_price now" in " ".join(done.out.split()) and "every_file_is_readable" in done.out


def test_drift_against_what_was_loaded_before_is_shown_and_listed(
    home: Path, etl: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(home, "first", DATE)
    assert etl("run", "--workers", "1").status == 0
    put(home, f"first/prices/{NEXT_DATE}/a.csv", VENUE + bar("AAA", date=NEXT_DATE).replace("\n", ",XNYS\n"))
    key = f"first/prices/{NEXT_DATE}/a.csv"

    with nothing_is_written(tmp_path):
        warned = etl("plan", key)
    assert warned.status == 0 and "LOAD" in warned.out and "1 differences, policy warn" in warned.out
    assert "the contract and the last delivery" in warned.out
    folder = plain_senders(tmp_path / "strict", "first", "second", settings="drift_policy: fail")
    with monkeypatch.context() as strict:
        strict.setenv("ETL_INSTITUTIONS_PATH", str(folder))
        stopped = etl("plan", key)
    assert stopped.status == 1 and "`drift_policy: fail`" in stopped.out

    assert "no drift on record" in etl("drift", "list").out
    assert etl("run", "--workers", "1").status == 0
    listed = etl("drift", "list", "--institution", "first", "--dataset", "prices", "--date", str(NEXT_DATE)).out
    assert all(word in listed for word in (str(NEXT_DATE), "first", "prices", "new", "venue", "text"))
    assert "no drift on record" in etl("drift", "list", "--date", str(DATE)).out
    assert "no drift on record" in etl("drift", "list", "--institution", "second").out


def test_values_that_changed_their_meaning_are_planned(home: Path, etl: Shell, tmp_path: Path) -> None:
    days = [DATE + dt.timedelta(days=n) for n in range(4)]
    deliver(home, "first", *days[:3])
    assert etl("run", "--workers", "1").status == 0
    cents = bar("AAA", date=days[3]).replace(",10,20,5,10,", ",1000,2000,500,1000,")
    key = f"first/prices/{days[3]}/a.csv"
    put(home, key, HEADER + cents)
    with nothing_is_written(tmp_path):
        planned = etl("plan", key)
    assert planned.status == 0
    assert "values           magnitudes_are_usual: close AAA: 100x the usual" in planned.out
    assert "nothing unusual" in etl("plan", f"first/prices/{days[2]}/a.csv").out


def test_a_warning_of_one_among_many_dates_is_told(home: Path, etl: Shell) -> None:
    days = [DATE + dt.timedelta(days=n) for n in range(20)]
    deliver(home, "first", *days[:-1])
    put(home, f"first/prices/{days[-1]}/a.csv", VENUE + bar("AAA", date=days[-1]).replace("\n", ",XNYS\n"))
    done = etl("run", "--workers", "1")
    assert done.status == 0 and "20 in all" in done.out
    assert [line.split(":")[0] for line in done.out.splitlines() if line.startswith("warned")] == [
        f"warned {days[-1]}|first prices"
    ]


def test_options_say_what_a_file_outside_of_the_landing_zone_is(home: Path, etl: Shell, tmp_path: Path) -> None:
    mail = tmp_path / "bars from mail #1.csv"
    mail.write_text(HEADER + bar("AAA"))
    options = ("--institution", "second", "--dataset", "prices", "--date", str(DATE))
    with nothing_is_written(tmp_path):
        done = etl("plan", str(mail), *options)
        asked = etl("plan", str(mail), "--institution", "second")
    assert done.status == 0 and f"{DATE}|second" in done.out and "LOAD" in done.out
    assert asked.status == 2 and "outside of every landing root" in asked.err and "give --institution" in asked.err


def test_what_a_sender_wrote_is_shown_as_it_is(
    home: Path, etl: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [bar("AAA", minute).replace("\n", ",1\n") for minute in range(20)]
    key = f"first/prices/{DATE}/a.csv"
    put(home, key, HEADER.replace("\n", ",[/]\n") + "".join(rows) + "[/red],\x1b[31mx\n")
    planned = etl("plan", key)
    run = etl("run", "--workers", "1")
    assert run.status == 0
    assert f"warned {DATE}|first prices: schema_has_not_drifted: " in run.out and "new column [/]" in run.out
    shown, listed = etl("quarantine", "show"), etl("drift", "list")
    for done in (planned, shown):
        assert done.status == 0 and r"[/red],\x1b[31mx" in done.out and "\x1b" not in done.out
    assert "[/]" in planned.out and "[/]" in listed.out

    folder = plain_senders(tmp_path / "strict", "first", "second", settings="drift_policy: fail")
    monkeypatch.setenv("ETL_INSTITUTIONS_PATH", str(folder))
    execute.loaded.cache_clear()
    stopped = etl("run", "--date", str(DATE), "--institution", "first", "--workers", "1")
    assert stopped.status == 1 and "new column [/]" in stopped.out


def test_options_override_what_the_key_says(home: Path, etl: Shell) -> None:
    deliver(home, "first", DATE)
    done = etl("plan", f"first/prices/{DATE}/a.csv", "--institution", "second", "--date", str(NEXT_DATE))
    assert f"{NEXT_DATE}|second" in done.out and "timestamp_is_in_business_date" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["first/prices/2025-01-15/no.csv"], "nothing there"),
        (
            ["/no/such/file.csv", "--institution", "first", "--dataset", "prices", "--date", "2025-01-15"],
            "nothing there",
        ),
        (["stray.csv"], "fits no institution's key pattern"),
        (["stray.csv", "--institution", "frist"], "expected first"),
        (
            ["stray.csv", "--institution", "first", "--dataset", "prices", "--date", "2025-01-15,2025-01-16"],
            "one business date",
        ),
        (["stray.csv", "--institution", "first", "--dataset", "accounts"], "expected prices"),
    ],
)
def test_what_cannot_be_planned_gets_one_line(home: Path, etl: Shell, arguments: list[str], message: str) -> None:
    put(home, "stray.csv", HEADER)
    done = etl("plan", *arguments)
    assert done.status == 2 and message in done.err and done.err.count("\n") == 1


def test_a_key_on_s3_is_planned_by_its_address(
    home: Path, etl: Shell, tmp_path: Path, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = s3_bucket.server
    for name, value in {
        "LANDING": f"{s3_bucket.url}/landing",
        "S3_ENDPOINT_URL": server.endpoint_url,
        "S3_REGION": server.region,
        "S3_ACCESS_KEY_ID": server.access_key_id,
        "S3_SECRET_ACCESS_KEY": server.secret_access_key,
        "S3_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(f"ETL_{name}", value)
    key = f"first/prices/{DATE}/a.csv"
    s3_bucket.put(f"landing/{key}", (HEADER + bar("AAA")).encode())
    s3_bucket.put("mail/b.csv", (HEADER + bar("AAA") + bar("BBB", 1)).encode())
    options = ("--institution", "second", "--dataset", "prices", "--date", str(DATE))

    with nothing_is_written(tmp_path):
        by_key, by_address = etl("plan", key), etl("plan", f"{s3_bucket.url}/landing/{key}")
        elsewhere = etl("plan", f"{s3_bucket.url}/mail/b.csv", *options)
        missing = etl("plan", f"{s3_bucket.url}/mail/c.csv", *options)

    assert by_key.status == by_address.status == 0 and by_key.out == by_address.out and "LOAD" in by_key.out
    assert elsewhere.status == 0 and "2 read = 2 silver" in elsewhere.out and f"{DATE}|second" in elsewhere.out
    assert missing.status == 2 and "nothing there" in missing.err
    assert sorted(s3_bucket.keys()) == [f"landing/{key}", "mail/b.csv"]

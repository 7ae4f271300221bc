"""A ledger of an earlier version becomes one of this with all that it holds, once, or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from etl_platform.errors import StorageError
from etl_platform.ledger import database as database_module
from etl_platform.ledger.database import LedgerDatabase
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.migrations import backfill_0002
from etl_platform.ledger.revision import HEAD, MARKER, REVISIONS
from etl_platform.ledger.tables import attempts, landing_objects, metadata, schema_drift
from etl_platform.ledger.upgrade import copy_before
from etl_platform.limits import UPGRADE_SECONDS
from etl_platform_tests.support.ledgers import (  # noqa: F401
    ledger_url,
    load_old_ledger,
    old_ledger_url,
    postgres_server,
)
from etl_platform_tests.support.postgres import PostgresServer

MOVED = {14: 15, 16: 17, 19: 18, 24: 25}
"""Objects of the fixture that stand for the same object as another one."""
OVERWRITTEN = {20, 22}
"""Contents that a later one under the same key replaces, which today's ledger knew under another address."""


def all_rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table as the database gives it."""
    database = LedgerDatabase(url)
    engine = sa.create_engine(database._url)
    with engine.connect() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        rows = {
            name: [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]
            for name, table in found.tables.items()
        }
    engine.dispose()
    return rows


def execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(LedgerDatabase(url)._url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def schema(url: str) -> dict[str, Any]:
    """All that makes the tables what they are, in an order of its own."""
    engine = sa.create_engine(LedgerDatabase(url)._url)
    inspector = sa.inspect(engine)
    found = {
        name: {
            "columns": {c["name"]: (repr(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(name)},
            "primary key": inspector.get_pk_constraint(name),
            "unique": sorted(map(str, inspector.get_unique_constraints(name))),
            "indexes": sorted(map(str, inspector.get_indexes(name))),
            "checks": sorted(str((c["name"], c["sqltext"])) for c in inspector.get_check_constraints(name)),
            "foreign keys": inspector.get_foreign_keys(name),
        }
        for name in inspector.get_table_names()
    }
    engine.dispose()
    return found


def test_an_upgraded_ledger_has_the_tables_of_a_new_one(old_ledger_url: str) -> None:
    LedgerDatabase(old_ledger_url).upgrade()
    upgraded = schema(old_ledger_url)
    execute(old_ledger_url, *(f"DROP TABLE {name}" for name in upgraded))
    assert LedgerDatabase(old_ledger_url).upgrade() is None
    new = schema(old_ledger_url)
    assert upgraded.keys() == new.keys() == {*metadata.tables, MARKER.name}
    for name, table in new.items():
        assert upgraded[name] == table, name


def test_every_row_is_kept(old_ledger_url: str) -> None:
    before = all_rows(old_ledger_url)
    assert all(before.values()), "the fixture has a row in every table"
    assert {row["state"] for row in before["landing_objects"]} == {
        *("seen", "loaded", "refused", "failed", "superseded", "unrouted")
    }
    assert {row["outcome"] for row in before["attempts"]} == {"running", "succeeded", "failed", "crashed"}

    assert LedgerDatabase(old_ledger_url).upgrade() == "0001"

    after = all_rows(old_ledger_url)
    assert after.pop(MARKER.name) == [{"version_num": HEAD}]
    for name in ("attempts", "profiles", "rule_versions", "judgements", "replays"):
        assert after[name] == before[name], name
    objects = {row["id"]: row for row in after["landing_objects"]}
    for row in before["landing_objects"]:
        if row["id"] not in MOVED | dict.fromkeys((*MOVED.values(), *OVERWRITTEN)):
            assert objects[row["id"]] | row == objects[row["id"]], row
    assert objects.keys() == {row["id"] for row in before["landing_objects"]} - MOVED.keys()
    assert len(after["schema_drift"]) == len(before["schema_drift"]) - 1


def test_what_is_one_object_by_now_is_one_row(old_ledger_url: str) -> None:
    """See `migrations/same_place.py`; the numbers are those of the fixture."""
    before = {row["id"]: row for row in all_rows(old_ledger_url)["landing_objects"]}
    LedgerDatabase(old_ledger_url).upgrade()
    after = {row["id"]: row for row in all_rows(old_ledger_url)["landing_objects"]}
    for gone, kept in MOVED.items():
        assert after[kept]["uri"] == before[max(gone, kept)]["uri"], "where it lies now"
        assert after[kept]["sha256"] == before[kept]["sha256"]
    assert [after[n]["state"] for n in MOVED.values()] == ["loaded", "seen", "loaded", "loaded"]
    assert after[17]["attempt"] == 2, "a run key that was never used"
    assert [(after[n]["state"], after[n]["claimed_by"], bool(after[n]["is_published"])) for n in (20, 22)] == [
        ("superseded", None, True)
    ] * 2
    assert [after[n]["state"] for n in (21, 23)] == ["loaded", "seen"]
    current = [
        (row["root"], row["key"]) for row in after.values() if row["state"] in ("seen", "loaded", "refused", "failed")
    ]
    assert len(current) == len(set(current)), "one current content of a key"


def test_what_was_published_is_known(old_ledger_url: str) -> None:
    LedgerDatabase(old_ledger_url).upgrade()
    rows = all_rows(old_ledger_url)["landing_objects"]
    published = {row["id"] for row in rows if row["is_published"]}
    # Not 4 (refused), 5 to 8 (never loaded), 9 (its attempt still runs), 10 (refused, then overwritten),
    # 12 (gold refused it), 17 and 23 (wait).
    assert published == {1, 2, 3, 11, 15, 18, 20, 21, 22, 25, 26, 27, 28, 29}


def test_a_success_before_a_replay_that_failed_counts_as_published(old_ledger_url: str) -> None:
    failed = "state = 'failed', run_id = 'run-99', reason = 'x', updated_at = '2025-01-16 00:00:00'"
    execute(old_ledger_url, f"UPDATE landing_objects SET {failed} WHERE id = 2")
    LedgerDatabase(old_ledger_url).upgrade()
    rows = {row["id"]: row for row in all_rows(old_ledger_url)["landing_objects"]}
    assert rows[2]["state"] == "failed" and rows[2]["is_published"]
    assert not rows[12]["is_published"], "gold refused it"


def test_institutions_with_equal_keys_in_landing_roots_of_their_own_stay_apart(old_ledger_url: str) -> None:
    LedgerDatabase(old_ledger_url).upgrade()
    rows = all_rows(old_ledger_url)
    for table in ("landing_objects", "schema_drift"):
        roots = {(row["institution"], row["root"]) for row in rows[table] if row["uri"].startswith("s3://bucket-")}
        assert roots == {("institution_c", "landing"), ("institution_d", "institution_d")}, table


def test_a_ledger_older_than_its_youngest_tables_is_upgraded(old_ledger_url: str) -> None:
    execute(old_ledger_url, *(f"DROP TABLE {name}" for name in ("replays", "judgements", "rule_versions")))
    assert LedgerDatabase(old_ledger_url).upgrade() == "0001"
    assert all_rows(old_ledger_url).keys() == {*metadata.tables, MARKER.name}


def test_the_first_use_upgrades_and_the_second_finds_it_done(old_ledger_url: str) -> None:
    opened = Ledger(old_ledger_url)
    assert "25 objects" in opened.check()
    opened.close()
    assert LedgerDatabase(old_ledger_url).upgrade() == HEAD


def test_the_next_object_gets_a_number_of_its_own(old_ledger_url: str) -> None:
    database = LedgerDatabase(old_ledger_url)
    with database.write() as connection:
        row = connection.execute(sa.select(landing_objects).where(landing_objects.c.id == 29)).mappings().one()
        new = {**row, "identity": "new"}
        del new["id"]
        connection.execute(sa.insert(landing_objects), new)
        assert connection.scalar(sa.select(sa.func.max(landing_objects.c.id))) == 30
    database.close()


def test_another_owner_of_the_database_keeps_its_revision(old_ledger_url: str) -> None:
    """Dagster's storage on the same Postgres database, say."""
    execute(old_ledger_url, "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
    execute(old_ledger_url, "INSERT INTO alembic_version VALUES ('a revision of Dagster')")
    LedgerDatabase(old_ledger_url).upgrade()
    assert all_rows(old_ledger_url)["alembic_version"] == [{"version_num": "a revision of Dagster"}]


def test_tables_of_somebody_else_are_not_touched(ledger_url: str) -> None:
    if ledger_url.startswith("sqlite:"):
        Path(ledger_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    execute(ledger_url, "CREATE TABLE landing_objects (id INTEGER, parcel TEXT)")
    before = all_rows(ledger_url)
    with pytest.raises(StorageError, match="columns id, parcel and no ledger_revision") as caught:
        Ledger(ledger_url).check()
    assert "nothing was changed" in caught.value.next_step
    assert all_rows(ledger_url) == before
    execute(ledger_url, "DROP TABLE landing_objects")


def test_a_newer_ledger_is_refused_and_unchanged(ledger_url: str) -> None:
    Ledger(ledger_url).check()
    execute(ledger_url, "UPDATE ledger_revision SET version_num = '9999'", "CREATE TABLE novelties (id INTEGER)")
    before = all_rows(ledger_url)
    for use in (
        Ledger(ledger_url).check,
        lambda: Ledger(ledger_url, read_only=True).unrouted(1),
        LedgerDatabase(ledger_url).upgrade,
    ):
        with pytest.raises(StorageError, match="revision 9999") as caught:
            use()
        assert f"at most revision {HEAD}" in caught.value.expected
        assert "install the newer version again" in caught.value.next_step
    assert all_rows(ledger_url) == before
    execute(ledger_url, "DROP TABLE novelties")


def test_an_old_ledger_that_is_only_read_stays_as_it_is(old_ledger_url: str) -> None:
    before = all_rows(old_ledger_url)
    files = _files(old_ledger_url)
    with pytest.raises(StorageError, match=f"revision 0001, an old ledger; expected revision {HEAD}") as caught:
        Ledger(old_ledger_url, read_only=True).unrouted(1)
    assert caught.value.next_step == "etl-platform ledger upgrade"
    assert LedgerDatabase(old_ledger_url).revision() == "0001"
    assert _files(old_ledger_url) == files
    assert all_rows(old_ledger_url) == before


def test_a_ledger_that_is_not_there_reads_as_empty(ledger_url: str) -> None:
    assert Ledger(ledger_url, read_only=True).unrouted(1) == []
    assert LedgerDatabase(ledger_url).revision() is None
    assert _files(ledger_url) == {}


def _files(url: str) -> dict[str, str]:
    if not url.startswith("sqlite"):
        return {}
    folder = Path(url.removeprefix("sqlite:///")).parent
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*")}


def test_a_copy_of_an_sqlite_ledger_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    url = f"sqlite:///{path}"
    load_old_ledger(url)
    path.chmod(0o600)
    before = all_rows(url)
    LedgerDatabase(url).upgrade()
    copy = copy_before(path)
    assert copy.name == f"ledger.db.before-{HEAD}" and copy.stat().st_mode & 0o777 == 0o600
    assert all_rows(f"sqlite:///{copy}") == before
    assert {p.name for p in tmp_path.iterdir()} <= {"ledger.db", "ledger.db-wal", "ledger.db-shm", copy.name}


def test_without_room_for_the_copy_nothing_is_changed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    load_old_ledger(url)
    before = all_rows(url)
    copy_before(tmp_path / "ledger.db").mkdir()
    with pytest.raises(StorageError, match=f"no copy before the upgrade to revision {HEAD}") as caught:
        Ledger(url).check()
    assert caught.value.next_step.startswith("make room")
    assert all_rows(url) == before


_UPGRADE = """
import sys
from etl_platform.ledger.database import LedgerDatabase
database = LedgerDatabase(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(database.upgrade())
"""


def test_of_two_processes_one_upgrades_and_the_other_finds_it_done(old_ledger_url: str) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _UPGRADE, old_ledger_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    # Who came late finds the new revision, before the lock or behind it; only one says that it upgraded.
    assert {out.strip() for out, _ in said} == {"0001", HEAD}, said
    assert sum("upgraded from revision 0001" in err for _, err in said) == 1, said
    assert len(all_rows(old_ledger_url)["landing_objects"]) == 25


def test_a_start_waits_longer_for_an_upgrade_than_a_writer_for_its_turn(
    old_ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "LOCK_SECONDS", 1)
    engine = database_module._create_engine(database_module.parse_url(old_ledger_url))
    with ThreadPoolExecutor(1) as pool:
        with database_module._begin_write(engine):
            waiting = pool.submit(LedgerDatabase(old_ledger_url).upgrade)
            time.sleep(2.5)
            assert not waiting.done()
        assert waiting.result(timeout=30) == "0001"
    engine.dispose()


_DIE = """
import os, signal, sys
import sqlalchemy as sa
from etl_platform.ledger.database import LedgerDatabase

@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def die(connection, cursor, statement, *_):
    if statement.strip().startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

LedgerDatabase(sys.argv[1]).upgrade()
"""


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE ledger_revision",
        "DELETE FROM landing_objects",
        "DROP TABLE schema_drift",
        "CREATE TABLE withdrawals",
        f"UPDATE ledger_revision SET version_num='{HEAD}'",
    ],
)
def test_an_upgrade_that_is_killed_leaves_a_ledger_that_the_next_start_upgrades(
    old_ledger_url: str, statement: str
) -> None:
    before = all_rows(old_ledger_url)
    died = subprocess.run([sys.executable, "-c", _DIE, old_ledger_url, statement], check=False)
    assert died.returncode == -9, "it came to that statement"
    assert all_rows(old_ledger_url) == before
    opened = Ledger(old_ledger_url)
    assert "25 objects" in opened.check()
    opened.close()


def test_the_first_row_of_a_key_is_not_looked_up_for_each_row(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database().url
    load_old_ledger(url)
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE landing_objects ADD COLUMN root text")
        plan = [line for (line,) in connection.execute(f"EXPLAIN {backfill_0002._TELL_APART}".encode())]
        assert plan and not [line for line in plan if "SubPlan" in line]


def test_an_interrupt_of_an_upgrade_stays_one(tmp_path: Path) -> None:
    """SQLAlchemy closes the connection on which it came."""
    engine = database_module._create_engine(sa.make_url(f"sqlite:///{tmp_path / 'ledger.db'}"))

    def interrupted() -> None:
        with database_module._begin_write(engine, UPGRADE_SECONDS) as connection:
            connection.invalidate()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    engine.dispose()


def test_a_new_and_a_current_ledger_are_opened_without_alembic(ledger_url: str) -> None:
    program = (
        "import sys; from etl_platform.ledger.ledger import Ledger; Ledger(sys.argv[1]).check(); "
        "assert 'alembic' not in sys.modules"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, ledger_url], check=True)


def test_the_code_knows_every_revision() -> None:
    from alembic.script import ScriptDirectory

    import etl_platform.ledger.upgrade as upgrade_module

    script = ScriptDirectory(str(upgrade_module._MIGRATIONS))
    assert [found.revision for found in script.walk_revisions()][::-1] == list(REVISIONS)
    assert script.get_heads() == [HEAD]


def test_a_path_with_signs_of_addresses_is_upgraded_with_its_copy(tmp_path: Path) -> None:
    path = tmp_path / "100 %d #" / "ledger.db"
    load_old_ledger(f"sqlite:///{path}")
    assert LedgerDatabase(f"sqlite:///{path}").upgrade() == "0001"
    assert copy_before(path).exists()


def test_times_and_flags_come_back_as_they_were(old_ledger_url: str) -> None:
    """Through the column types of today's code, which SQLite stores as text and numbers."""
    database = LedgerDatabase(old_ledger_url)
    with database.read() as connection:
        first = connection.execute(sa.select(landing_objects).where(landing_objects.c.id == 1)).mappings().one()
        assert first["first_seen_at"].isoformat() == "2025-01-15T06:00:00.120000+00:00"
        assert first["is_published"] is True and first["root"] == "landing"
        drifted = connection.execute(sa.select(schema_drift)).mappings().first()
        assert drifted is not None and drifted["columns"][1]["name"] == "größe" and drifted["is_drifted"] is True
        running = connection.execute(sa.select(attempts).where(attempts.c.run_id == "run-06")).mappings().one()
        assert running["outcome"] == "running" and running["ended_at"] is None
    database.close()

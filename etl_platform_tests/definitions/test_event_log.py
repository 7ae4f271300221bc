"""The pooled SQLite event log: same events as Dagster's own storage, safe among processes, followed live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.events import StepMaterializationData  # noqa: TID251 - what an event of one holds; not exported

from etl_platform.event_log import PooledSqliteEventLogStorage

REPOSITORY = Path(__file__).parents[2]

# Runs of one trivial asset against the DAGSTER_HOME of the environment; `hold` stays inside the last step for ever.
RUNS_PROGRAM = """
import sys, threading
import dagster as dg

@dg.asset
def rows(context: dg.AssetExecutionContext) -> None:
    context.log.info("inside the step")
    if "hold" in sys.argv:
        print(context.run_id, flush=True)
        threading.Event().wait()

instance = dg.DagsterInstance.get()
for _ in range(int(sys.argv[1])):
    result = dg.materialize([rows], instance=instance)
    assert result.success
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance that the shipped dagster.yaml describes."""
    (tmp_path / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, PooledSqliteEventLogStorage)
        yield instance


def start_runs(home: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    command = [sys.executable, "-c", RUNS_PROGRAM, *arguments]
    return subprocess.Popen(
        command, env=environment, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


@dg.asset(check_specs=[dg.AssetCheckSpec("keys_are_unique", asset="checked")])
def checked() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False, check_name="keys_are_unique")])


def test_materializations_checks_and_run_events_are_on_record(instance: dg.DagsterInstance) -> None:
    result = dg.materialize([checked], instance=instance)

    event = instance.get_latest_materialization_event(dg.AssetKey("checked"))
    assert event is not None and event.run_id == result.run_id
    types = [entry.dagster_event_type for entry in instance.all_logs(result.run_id)]
    for event_type in ("RUN_START", "ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION", "RUN_SUCCESS"):
        assert types.count(dg.DagsterEventType[event_type]) == 1


def test_the_log_lies_in_the_folder_of_its_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    (tmp_path / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run_id = dg.materialize([checked], instance=instance).run_id
        assert instance.all_logs(run_id)
    assert (tmp_path / "history" / "event_log.db").stat().st_size > 0


def test_processes_that_write_at_once_lose_no_event(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    runs_each, writers = 3, 3
    processes = [start_runs(tmp_path, str(runs_each)) for _ in range(writers)]
    assert [process.wait(timeout=120) for process in processes] == [0] * writers

    records = instance.fetch_materializations(dg.AssetKey("rows"), limit=100).records
    assert len({record.run_id for record in records}) == runs_each * writers


def test_events_of_a_killed_process_stay_and_others_go_on(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    process = start_runs(tmp_path, "1", "hold")
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert "inside the step" in [entry.user_message for entry in instance.all_logs(run_id)]
    assert dg.materialize([checked], instance=instance).success


def test_a_run_of_another_process_is_followed_while_it_is_running(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    process = start_runs(tmp_path, "1", "hold")
    seen = threading.Event()

    def notice(entry: dg.EventLogEntry, _cursor: str) -> None:
        if entry.user_message == "inside the step":
            seen.set()

    try:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        instance.watch_event_logs(run_id, None, notice)
        assert seen.wait(timeout=30)
        instance.end_watch_event_logs(run_id, notice)
    finally:
        process.kill()
        process.wait()


def partition_events(run_id: str, partitions: Sequence[str]) -> list[dg.EventLogEntry]:
    """A materialization and a check result (failed in the last partition) of asset `checked` in each partition."""
    asset = dg.AssetKey("checked")
    events: list[dg.EventLogEntry] = []
    for partition in partitions:
        made = StepMaterializationData(dg.AssetMaterialization(asset, partition=partition, tags={"size": partition}))
        result = dg.AssetCheckEvaluation(
            asset_key=asset,
            check_name="keys_are_unique",
            passed=partition != partitions[-1],
            metadata={"rows": 1},
            partition=partition,
        )
        for kind, data in (("ASSET_MATERIALIZATION", made), ("ASSET_CHECK_EVALUATION", result)):
            event = dg.DagsterEvent(kind, "a job", event_specific_data=data)
            events.append(
                dg.EventLogEntry(  # type: ignore[no-untyped-call]
                    error_info=None, level=20, user_message="", run_id=run_id, timestamp=9.0, dagster_event=event
                )
            )
    return events


def rows_stored(storage: dg.DagsterInstance, run_id: str) -> dict[str, list[tuple[object, ...]]]:
    """Every table that the events of a run reach, without what differs between two runs."""
    log = storage.event_log_storage
    assert isinstance(log, PooledSqliteEventLogStorage)
    queries = {
        "events": "select event, dagster_event_type, timestamp, asset_key, partition from event_logs where run_id = :r",
        "checks": "select c.asset_key, c.check_name, c.partition, c.execution_status, c.evaluation_event,"
        " c.evaluation_event_timestamp, e.partition, e.dagster_event_type from asset_check_executions c"
        " join event_logs e on e.id = c.evaluation_event_storage_id where c.run_id = :r order by c.partition",
        "assets": "select asset_key, last_materialization, last_run_id from asset_keys where last_run_id = :r",
    }
    with log._connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(sqlalchemy.text(query), {"r": run_id})]
            for name, query in queries.items()
        }


@pytest.mark.parametrize("planned", [False, True])
def test_a_batch_leaves_the_rows_that_its_events_leave_one_by_one(
    instance: dg.DagsterInstance, tmp_path: Path, planned: bool
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    events = partition_events("a run", ["first", "second", "third"])
    with dg.DagsterInstance.from_config(str(tmp_path / "other")) as other:
        for one in (instance, other):
            if planned:  # a result is then no row of its own: it ends the row that waits for it
                one.event_log_storage.store_event_batch(events[1::2])
        instance.event_log_storage.store_event_batch(events)
        for event in events:
            other.event_log_storage.store_event(event)
        found, expected = rows_stored(instance, "a run"), rows_stored(other, "a run")
    assert found == expected
    assert [row[3] for row in found["checks"]] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    assert found["assets"]


DAYS = dg.StaticPartitionsDefinition(["a", "b"])


@dg.asset(partitions_def=DAYS)
def daily() -> None:
    """An asset of two partitions."""


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec(name, asset=daily, partitions_def=DAYS) for name in ("first", "second")], can_subset=True
)
def daily_checks() -> Iterator[dg.AssetCheckResult]:
    for name in ("first", "second"):
        yield dg.AssetCheckResult(asset_key="daily", check_name=name, passed=name == "first")


def stored_by(storage: PooledSqliteEventLogStorage, entries: Sequence[dg.EventLogEntry], how: str) -> None:
    """Store events in one of several ways; `dagster` is that of the class which ours extends."""
    if how == "batch":
        are_planned = [
            (entry.dagster_event_type or dg.DagsterEventType.RUN_START).value.endswith("PLANNED") for entry in entries
        ]
        planned = [entry for entry, is_planned in zip(entries, are_planned, strict=True) if is_planned]
        storage.store_event_batch(planned)
        entries = [entry for entry, is_planned in zip(entries, are_planned, strict=True) if not is_planned]
    for entry in entries:
        store = super(PooledSqliteEventLogStorage, storage).store_event if how == "dagster" else storage.store_event
        store(entry)


@pytest.mark.parametrize("how", ["batch", "each"])
def test_events_of_a_run_leave_the_rows_that_dagster_itself_would_leave(
    instance: dg.DagsterInstance, tmp_path: Path, how: str
) -> None:
    with dg.DagsterInstance.ephemeral() as made:
        job = dg.Definitions([daily], asset_checks=[daily_checks]).resolve_implicit_global_asset_job_def()
        run_id = job.execute_in_process(instance=made, partition_key="a", raise_on_error=False).run_id
        entries = sorted(
            made.all_logs(run_id),
            key=lambda e: "PLANNED" not in str(e.dagster_event and e.dagster_event.event_type_value),
        )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path / "other")) as other:
        for one, way in ((instance, how), (other, "dagster")):
            assert isinstance(one.event_log_storage, PooledSqliteEventLogStorage)
            stored_by(one.event_log_storage, entries, way)
        found, expected = rows_stored(instance, run_id), rows_stored(other, run_id)
    assert found == expected
    assert [(row[1], row[2], row[3]) for row in sorted(found["checks"])] == [
        ("first", "a", "SUCCEEDED"),
        ("second", "a", "FAILED"),
    ]


def test_a_batch_that_cannot_be_stored_leaves_nothing(instance: dg.DagsterInstance) -> None:
    events = partition_events("a run", ["first", "second"])
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        instance.event_log_storage.store_event_batch([*events, events[1]])  # one result twice
    assert not instance.all_logs("a run")
    assert instance.get_latest_materialization_event(dg.AssetKey("checked")) is None


def test_a_batch_of_events_is_stored_whole_or_not_at_all(instance: dg.DagsterInstance) -> None:
    entry = dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None, level=20, user_message="one of a batch", run_id="a run", timestamp=1.0, job_name="a job"
    )
    storage = instance.event_log_storage
    with pytest.raises(Exception, match="EventLogEntry"):
        storage.store_event_batch([entry, "no event"])  # type: ignore[list-item]
    assert not instance.all_logs("a run")

    storage.store_event_batch([entry, entry])
    assert [found.user_message for found in instance.all_logs("a run")] == ["one of a batch"] * 2

"""The pooled SQLite event log: same events as Dagster's own storage, safe among processes, followed live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

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

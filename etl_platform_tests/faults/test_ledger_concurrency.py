"""Several processes on one ledger, and processes that die in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import State
from etl_platform_tests.support.landing_objects import after, landing_object
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

# Each program opens the ledger as the tests do, says "ready", and goes on when it is told to.
_PROLOGUE = """
import sys
from etl_platform.ledger.ledger import Ledger
from etl_platform_tests.support.landing_objects import NOW, after, landing_object
ledger = Ledger(sys.argv[1])
number = int(sys.argv[2])
def wait():
    print("ready", flush=True)
    sys.stdin.readline()
"""

_RECORD_THE_SAME = """
objects = [landing_object(f"{i}.csv") for i in range(5_000)]
wait()
unknown = ledger.unknown(objects[::-1] if number else objects)
print(ledger.record_seen(unknown, now=NOW))
"""

_RECORD_VERSIONS = """
wait()
for step in range(20):
    age = step * 2 + number
    ledger.record_seen([landing_object(f"{i}.csv", etag=f"e{age}", modified=after(age)) for i in range(20)], now=NOW)
"""

_FIRST_USE = """
wait()
print(ledger.check())
"""

# In step, or hardly two of them would meet in the microseconds that matter.
_FIRST_USE_OF_MANY = """
import time
wait()
start = int(time.time()) + 2
for step in range(40):
    one = Ledger(f"{sys.argv[1]}{step}.db")
    while time.time() < start + step / 4:
        pass
    one.check()
    one.close()
"""

_DIE_WHILE_WRITING = """
from etl_platform.ledger import recording
ledger.check()
with ledger._database.write() as connection:
    recording.insert_seen(connection, [landing_object(f"{i}.csv") for i in range(1_000)], NOW)
    wait()
"""


def start(url: str, program: str, count: int) -> list[subprocess.Popen[str]]:
    """That many processes, all at the line where they wait."""
    command = [sys.executable, "-c", _PROLOGUE + program, url]
    processes = [
        subprocess.Popen(
            [*command, str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for i in range(count)
    ]
    for process in processes:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    return processes


def release(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Let all go at once; what each printed. Fails when one failed."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), answers
    return [out.strip() for out, _ in answers]


def test_two_processes_that_record_the_same_objects_record_each_once(ledger_url: str, ledger: Ledger) -> None:
    counts = [int(count) for count in release(start(ledger_url, _RECORD_THE_SAME, 2))]
    assert sum(counts) == 5_000
    rows = ledger.objects()
    assert len({(row.uri, row.identity) for row in rows}) == len(rows) == 5_000
    assert {row.state for row in rows} == {State.SEEN}


def test_versions_recorded_by_several_processes_leave_one_current_object_per_uri(
    ledger_url: str, ledger: Ledger
) -> None:
    release(start(ledger_url, _RECORD_VERSIONS, 2))
    rows = ledger.objects()
    assert len(rows) == 20 * 40
    current = [row for row in rows if row.state is not State.SUPERSEDED]
    assert Counter(row.uri for row in current) == {landing_object(f"{i}.csv").uri: 1 for i in range(20)}
    assert {row.identity for row in current} == {"e39"}


def test_first_users_at_once_all_find_the_tables(ledger_url: str) -> None:
    answers = release(start(ledger_url, _FIRST_USE, 3))
    assert all(answer.endswith(": 0 objects") for answer in answers), answers


def test_first_users_of_sqlite_wait_for_each_other(tmp_path: Path) -> None:
    release(start(f"sqlite:///{tmp_path}/", _FIRST_USE_OF_MANY, 4))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL does not exist there")
def test_a_process_killed_while_it_records_leaves_nothing_and_no_lock(ledger_url: str, ledger: Ledger) -> None:
    (process,) = start(ledger_url, _DIE_WHILE_WRITING, 1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    objects = [landing_object(f"{i}.csv") for i in range(1_000)]
    assert ledger.unknown(objects) == objects
    assert ledger.record_seen(objects, now=after(1)) == 1_000

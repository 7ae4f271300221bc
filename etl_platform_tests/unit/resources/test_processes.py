"""The living are told from the dead, with real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from etl_platform.resources.processes import Processes, own_scratch

CHILD = """
import sys, time
from pathlib import Path
from etl_platform.resources.processes import Processes, own_scratch
root = Path(sys.argv[1])
with own_scratch(root / "scratch", "history", Processes(root)) as folder:
    (folder / "rows").write_bytes(b"x")
    print(Processes(root).mine(), flush=True)
    time.sleep(600)
"""


def test_a_killed_process_is_dead_and_its_scratch_goes_with_the_next(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    me = processes.mine()
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert processes.dead() == [] and processes.is_alive(name) and me == processes.mine() != name
        with own_scratch(tmp_path / "scratch", "history", processes):
            assert len(list((tmp_path / "scratch").iterdir())) == 2, "a living import keeps its folder"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()

    assert processes.dead() == [name] and not processes.is_alive(name)
    with own_scratch(tmp_path / "scratch", "history", processes) as mine:
        assert list((tmp_path / "scratch").iterdir()) == [mine]
    assert list((tmp_path / "scratch").iterdir()) == []
    processes.forget([name])
    assert processes.dead() == [] and not processes.is_alive(name) and processes.is_alive(me)


def test_what_was_launched_by_a_living_server_is_told_from_what_a_dead_one_launched(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    assert processes.served(time.time()) is None
    program = (
        "import pathlib, sys, time; from etl_platform.resources.processes import Processes; "
        "Processes(pathlib.Path(sys.argv[1])).serve(); print('there', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdout.readline()
        launched = time.time() + 1
        assert processes.served(launched) is True
        assert processes.served(launched - 3_600) is False  # before it was there: by one that is gone
        server.kill()
    assert processes.served(launched) is False
    processes.serve()
    assert processes.served(time.time() - 3_600) is False

"""The living are told from the dead, with real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
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

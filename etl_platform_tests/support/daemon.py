"""Dagster's daemon and a code server as processes, as in the compose stack: runs are processes of the code server.

Belongs here: starting and killing them. Not here: platforms and commands (`apart.py`).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from etl_platform_tests.support import halting
from etl_platform_tests.support.apart import Apart, Point, eventually
from etl_platform_tests.support.platform import REPOSITORY

BIN = Path(sys.executable).parent


@dataclass
class Services:
    """A code server and daemons of one platform. points: where runs of the code server end."""

    place: Apart
    points: Sequence[Point] = ()
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    port: int = 0

    def start(self) -> None:
        self.start_code_server()
        self.start_daemon()

    def start_code_server(self) -> subprocess.Popen[bytes]:
        """Ready when it returns."""
        hook = self.place.folder / "hook"
        hook.mkdir(exist_ok=True)
        shutil.copy(halting.__file__, hook / "sitecustomize.py")
        self.port = self.port or _free_port()
        halt_at = json.dumps([asdict(point) for point in self.points])
        variables = {"HALT_AT": halt_at, "PYTHONPATH": f"{hook}:{REPOSITORY}"}
        options = ("--host", "127.0.0.1", "--port", str(self.port), "--module-name", "etl_platform.definitions")
        server = self._start("dagster", "api", "grpc", *options, **variables)
        eventually(lambda: _answers(self.port) or server.poll() is not None, 120)
        assert server.poll() is None, self.said("dagster")
        return server

    def start_daemon(self) -> subprocess.Popen[bytes]:
        workspace = self.place.folder / "workspace.yaml"
        workspace.write_text(
            "load_from:\n  - grpc_server:\n"
            f"      host: 127.0.0.1\n      port: {self.port}\n      location_name: etl_platform\n"
        )
        return self._start("dagster-daemon", "run", "--workspace", str(workspace))

    def backfill(self, keys: Sequence[str], assets: Sequence[str]) -> None:
        """What the UI asks for."""
        query = """
            mutation($params: LaunchBackfillParams!) {
              launchPartitionBackfill(backfillParams: $params) {
                __typename ... on PythonError { message } ... on LaunchBackfillSuccess { backfillId }
              }
            }"""
        selection = [{"path": name.split("/")} for name in assets]
        variables = {"params": {"partitionNames": list(keys), "assetSelection": selection}}
        command = [str(BIN / "dagster-graphql"), "-w", str(self.place.folder / "workspace.yaml")]
        command += ["-t", query, "-v", json.dumps(variables)]
        done = subprocess.run(
            command, env=self.place.variables, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert "LaunchBackfillSuccess" in done.stdout, done.stdout + done.stderr

    def launch(self, date: dt.date, code: str = "first") -> None:
        """One run of a partition by way of the queue, as the UI's button asks for it."""
        tags = json.dumps({"dagster/partition": f"{date}|{code}"})
        command = [str(BIN / "dagster"), "job", "launch", "-w", str(self.place.folder / "workspace.yaml")]
        subprocess.run(
            [*command, "-j", "ingest", "--tags", tags],
            env=self.place.variables, cwd=REPOSITORY, capture_output=True, check=True,
        )  # fmt: skip

    def power_cut(self) -> None:
        """Everything is killed at once, runs included."""
        for process in self.running:
            kill_group(process)
        for process in self.running:
            process.wait()
        self.running.clear()

    def said(self, program: str = "dagster-daemon") -> str:
        return (self.place.folder / f"{program}.log").read_text()

    def _start(self, program: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        with (self.place.folder / f"{program}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(BIN / program), *arguments],
                cwd=REPOSITORY,
                env={**self.place.variables, **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(process)
        return process


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """The process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def services(place: Apart, *points: Point) -> Iterator[Services]:
    """For the block; nothing of them outlives it."""
    found = Services(place, points)
    try:
        yield found
    finally:
        found.power_cut()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""Damaged files of every format through silver: no crash, no hang, no row unaccounted for.

    python -m etl_platform_tests.faults.fuzz_files --count 200000 --seed 7 --workers 2

File number `n` of a seed is always the same bytes. Worker processes do the reading, because what is looked for may end
a process; a timer inside each ends it after `SECONDS`. Whatever fails is saved with its seed, number and traceback.

Belongs here: the runner and its verdicts. Not here: how files are damaged (`mutations.py`).
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from etl_platform_tests.faults.mutations import GROUP, mutated
from etl_platform_tests.support.delivered import deliver, require_conservation, require_valid

SECONDS = 10
"""Longest time for one file. The files are tiny: more is a hang."""
MEMORY = 4 * 2**30
"""Address space of a worker (threads and libraries take one of it): a tiny file that needs more is a bomb."""
MOST_FAILURES = 20
COMMAND = (sys.executable, "-m", "etl_platform_tests.faults.fuzz_files")


@dataclass(frozen=True)
class Failure:
    """One file that ended its process, and what was seen of it."""

    number: int
    kind: str
    report: str
    saved: Path


@dataclass
class Findings:
    """files: how many were read. failures: in order of finding."""

    files: int = 0
    failures: list[Failure] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.files} files, {len(self.failures)} failures"]
        lines += [f"#{f.number} {f.kind}: {f.saved}\n{f.report}" for f in self.failures]
        return "\n".join(lines)


def fuzz(count: int, seed: int, folder: Path, workers: int = 2, first: int = 0) -> Findings:
    """Read files `first` to `first + count` of `seed`; failing ones are saved in `folder`."""
    findings, lock = Findings(), threading.Lock()
    starts = iter(range(first, first + count, GROUP))
    # A worker costs two seconds to start; a worker that is done early leaves a core idle.
    chunk = max(1, min(200, count // GROUP // workers))

    def work() -> None:
        while len(findings.failures) < MOST_FAILURES:
            with lock:
                groups = list(itertools.islice(starts, chunk))
            if not groups:
                return
            while groups:
                done, report = _run(seed, groups)
                with lock:
                    findings.files += GROUP * (done + (report is not None))
                    if report is not None:
                        findings.failures += _single_out(seed, groups[done], report, folder)
                groups = groups[done + 1 :] if report is not None else []

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return findings


def _single_out(seed: int, group: int, report: str, folder: Path) -> list[Failure]:
    """The files of a failed group that fail alone; all of them together where none does."""
    folder.mkdir(parents=True, exist_ok=True)
    alone: list[tuple[int, str]] = []
    left = range(group, group + GROUP)
    while left:
        done, text = _run(seed, left, 1)
        if text is not None:
            alone.append((left[done], text))
        left = left[done + 1 :]
    # The timer counts the seconds of a machine that others use, too: a hang hangs again, a starved worker does not.
    if not alone and "Timeout" in report and _run(seed, [group])[1] is None:
        return []
    failures = []
    for number, text in alone or [(number, report) for number in range(group, group + GROUP)]:
        base, content = mutated(seed, number)
        path = folder / f"seed{seed}-number{number}-{base.name}"
        path.write_bytes(content)
        path.with_name(path.name + ".txt").write_text(text)
        failures.append(Failure(number, base.name, text[-3000:], path))
    return failures


def _run(seed: int, numbers: Sequence[int], size: int = GROUP) -> tuple[int, str | None]:
    """How many groups a worker finished, and what it said when it died."""
    arguments = ["--worker", str(size), "--seed", str(seed), *map(str, numbers)]
    with tempfile.TemporaryFile("w+") as said:
        # One Polars thread: for tiny files a second one only waits.
        worker = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, "POLARS_MAX_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
        )
        assert worker.stdout
        done = sum(1 for _ in worker.stdout)
        code = worker.wait()
        if code == 0:
            return done, None
        said.seek(0)
        return done, f"exit status {code}\n{said.read()[-20_000:]}"


def _work(seed: int, size: int, numbers: Sequence[int]) -> None:
    """Read groups of files, one line of output after each; die at the first that is not as promised."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in numbers:
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        files = [mutated(seed, at) for at in range(number, number + size)]
        base = files[0][0]
        with tempfile.TemporaryDirectory() as folder:
            contents = [data for _, data in files]
            out = deliver(
                contents,
                Path(folder),
                base.options,
                dataset=base.dataset,
                sender=base.sender,
                batch_rows=4 if number % 3 == 0 else 1000,
            )
        require_conservation(out)
        require_valid(out, base.dataset)
        faulthandler.cancel_dump_traceback_later()
        print(number, flush=True)


def main() -> None:
    """The command line; exit status 1 where a file failed."""
    parser = argparse.ArgumentParser(description="Damaged files of every format through silver.")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first file: repeats a single finding")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--failures", type=Path, default=Path("var/fuzz"), help="folder for failing inputs")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("numbers", type=int, nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        _work(given.seed, given.worker, given.numbers)
        return
    findings = fuzz(given.count, given.seed, given.failures, given.workers, given.first)
    print(findings)
    sys.exit(bool(findings.failures))


if __name__ == "__main__":
    main()

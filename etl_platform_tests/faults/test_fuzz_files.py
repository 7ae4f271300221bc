"""Damaged files never end a run: each has a verdict, in time and within bounds, and no row is unaccounted for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from etl_platform_tests.faults import fuzz_files
from etl_platform_tests.faults.fuzz_files import fuzz
from etl_platform_tests.faults.mutations import GROUP, bases, mutated
from etl_platform_tests.support.delivered import deliver, require_conservation, require_valid

SABOTAGE = """
import os, sys, time
from etl_platform_tests.faults import fuzz_files
from etl_platform.transforms import silver
honest = silver.read_file
def read_file(path, **named):
    if path.read_bytes() == {content!r}:
        {deed}
    return honest(path, **named)
silver.read_file = read_file
fuzz_files.SECONDS = 4
fuzz_files.main()
"""
ORDINARY, LONG = 320, 20_000
"""The longer one: 150 s of CPU, on two idle cores 80 s."""


def test_damaged_files_end_in_a_verdict(tmp_path: Path) -> None:
    findings = fuzz(ORDINARY, seed=1, folder=tmp_path, workers=1)
    assert findings.files == ORDINARY
    assert not findings.failures, findings


@pytest.mark.long
def test_very_many_damaged_files_end_in_a_verdict(tmp_path: Path) -> None:
    findings = fuzz(LONG, seed=2, folder=tmp_path)
    assert findings.files == LONG
    assert not findings.failures, findings


@pytest.mark.parametrize("base", bases(), ids=lambda base: base.name)
def test_the_files_to_be_damaged_are_good_ones(tmp_path: Path, base: object) -> None:
    (found,) = [one for one in bases() if one is base]
    out = deliver([found.pack(found.content)], tmp_path, found.options, dataset=found.dataset, sender=found.sender)
    require_conservation(out)
    require_valid(out, found.dataset)
    assert not any(file.refusal for file in out.result.files) and out.silver.height > 3


def test_a_worker_that_was_only_slow_once_is_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, deed = mutated(1, GROUP + 1)[1], f"first = {str(tmp_path / 'slow')!r}; os.path.exists(first) or ("
    deed += "open(first, 'w').close(), time.sleep(60))"
    monkeypatch.setattr(fuzz_files, "COMMAND", (sys.executable, "-c", SABOTAGE.format(content=content, deed=deed)))
    findings = fuzz(2 * GROUP, seed=1, folder=tmp_path / "found", workers=1)
    assert (tmp_path / "slow").exists() and findings.failures == [] and findings.files == 2 * GROUP


def test_a_file_is_the_same_bytes_for_the_same_seed_and_number() -> None:
    assert [mutated(3, number)[1] for number in range(50)] == [mutated(3, number)[1] for number in range(50)]
    assert mutated(3, 0)[1] != mutated(4, 0)[1]


@pytest.mark.parametrize(
    ("deed", "seen"),
    [("os.abort()", "Abort"), ("time.sleep(60)", "Timeout")],
    ids=["crash", "hang"],
)
def test_the_runner_singles_out_and_saves_what_ends_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, seen: str
) -> None:
    content = mutated(1, GROUP + 1)[1]
    monkeypatch.setattr(fuzz_files, "COMMAND", (sys.executable, "-c", SABOTAGE.format(content=content, deed=deed)))
    findings = fuzz(2 * GROUP, seed=1, folder=tmp_path, workers=1)
    (failure,) = findings.failures
    assert (failure.number, findings.files) == (GROUP + 1, 2 * GROUP)
    assert failure.saved.read_bytes() == content
    assert seen in failure.report

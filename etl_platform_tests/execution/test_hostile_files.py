"""Every hostile file and row gets the verdict that the users' page promises, and the page names them all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from etl_platform.readers import ReadLimits
from etl_platform_tests.support.delivered import deliver, require_conservation, require_valid
from etl_platform_tests.support.hostile_files import CASES, Case, page
from etl_platform_tests.support.platform import REPOSITORY

MEASURE = """
import json, sys, time
from pathlib import Path
from etl_platform.readers import FormatOptions, ReadLimits
from etl_platform_tests.support.delivered import deliver
from pydantic import TypeAdapter

def peak_kb():
    # ru_maxrss survives exec: it would begin with the peak of the test process.
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)

options = TypeAdapter(FormatOptions).validate_json(sys.argv[2])
folder = Path(sys.argv[1])
# What silver costs without a bomb: libraries load their parts at first use.
deliver([b"symbol\\n"], folder / "warm", options)
contents = [path.read_bytes() for path in sorted((folder / "landing").iterdir())]
before, started = peak_kb(), time.process_time()
out = deliver(contents, folder / "run", options, limits=ReadLimits.model_validate_json(sys.argv[3]))
seconds, mb = time.process_time() - started, (peak_kb() - before) / 1024
print(json.dumps({"broken": out.broken, "silver": out.silver.height, "seconds": seconds, "mb": mb}))
"""

ORDINARY, BOMBS = [case for case in CASES if not case.limits], [case for case in CASES if case.limits]


def named(case: Case) -> str:
    return f"{case.topic}: {case.what}"[:90]


@pytest.mark.parametrize("case", ORDINARY, ids=named)
def test_a_hostile_file_gets_its_verdict(case: Case, tmp_path: Path) -> None:
    out = deliver(case.make(), tmp_path, case.options, dataset=case.dataset, sender=case.sender)
    require_conservation(out)
    require_valid(out, case.dataset)
    assert {row: list(rules) for row, rules in out.broken} == {row: list(rules) for row, rules in case.broken.items()}
    assert (out.silver.height, out.result.rows_duplicate) == (case.silver, case.duplicates)
    for column, expected in case.values.items():
        assert out.silver.sort("_source_row").get_column(column).to_list() == list(expected)


@pytest.mark.parametrize("case", BOMBS, ids=named)
def test_a_bomb_is_refused_within_two_seconds_and_200_mb(case: Case, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    for number, content in enumerate(case.make()):
        (tmp_path / "landing" / str(number)).write_bytes(content)
    limits = (case.limits or ReadLimits()).model_dump_json()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), case.options.model_dump_json(), limits],
        capture_output=True, text=True, timeout=120, check=True, cwd=REPOSITORY,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["broken"], found["silver"]) == ([[None, list(case.broken[None])]], 0)
    assert found["seconds"] < 2
    assert found["mb"] < 200


def test_the_page_for_users_tells_what_these_tests_hold() -> None:
    text = (REPOSITORY / "docs" / "files.md").read_text(encoding="utf-8")
    assert text == page(), "run `python -m etl_platform_tests.support.hostile_files docs/files.md` and commit it"


def test_no_case_is_listed_twice() -> None:
    assert len({(case.topic, case.what) for case in CASES}) == len(CASES)

"""What the README tells a newcomer to type, typed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
KEY = "institution_a/prices/2025-01-15/x.csv"


def block_below(heading: str) -> list[str]:
    """The commands of the first block of shell below a heading."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {heading}\n+```sh\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1].replace("\\\n", " ").splitlines()


@pytest.mark.long
def test_the_commands_for_scripts_do_what_they_say(tmp_path: Path) -> None:
    home, dagster_home, institutions = tmp_path / "home", tmp_path / "dagster", tmp_path / "institutions"
    dagster_home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", dagster_home)
    shutil.copytree(REPOSITORY / "etl_platform" / "institutions", institutions, ignore=lambda _, names: [
        name for name in names if not name.endswith(".yaml")
    ])  # fmt: skip
    history = "code: market\nname: Market\nkey_pattern: '{institution}/{dataset}/{date:%Y-%m-%d}/{symbol}.csv'\n"
    (institutions / "market.yaml").write_text(f"{history}datasets:\n  prices: {{columns: {{Date: timestamp}}}}\n")
    (tmp_path / "GOOG.csv").write_text("Date,Open,High,Low,Close,Volume\n2025-01-15,10,12,9,11,100\n")
    environment = {
        **os.environ,
        "ETL_HOME": str(home),
        "ETL_INSTITUTIONS_PATH": str(institutions),
        "DAGSTER_HOME": str(dagster_home),
        "PYTHONPATH": str(REPOSITORY),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    def typed(command: str) -> None:
        done = subprocess.run(
            shlex.split(command, comments=True),
            check=False,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"

    typed("etl-platform generate --days 5 --rows 50 --defects 0")
    shutil.copy(home / "landing" / KEY.replace("x.csv", "prices-0600.csv"), home / "landing" / KEY)
    commands = block_below("Scripts")
    assert len(commands) > 10
    for command in commands:
        typed(command)

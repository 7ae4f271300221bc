"""The commands as a whole: each is found by its name, and what needs no Dagster does not wait for its import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
from click.testing import CliRunner

from etl_platform.cli.main import COMMANDS, cli

PACKAGE = Path(__file__).parents[2] / "etl_platform" / "cli"


def test_every_command_is_found_by_its_name_and_is_in_the_help() -> None:
    told = CliRunner().invoke(cli, ["--help"]).output
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None and command.name == name and f"\n  {name} " in told


def test_no_command_is_left_out() -> None:
    written = {path.stem for path in PACKAGE.glob("*.py") if "\n@click.command" in path.read_text()}
    written |= {path.stem for path in PACKAGE.glob("*.py") if "\n@click.group()" in path.read_text()}
    assert written == {place.partition(":")[0] for place in COMMANDS.values()}


def test_a_name_that_is_none_is_wrong_use() -> None:
    done = CliRunner().invoke(cli, ["statsu"])
    assert done.exit_code == 2 and "statsu" in done.output


def test_what_needs_no_dagster_starts_without_it() -> None:
    program = (
        "import click, sys; from etl_platform.cli.main import cli;"
        "[cli.get_command(click.Context(cli), name) for name in ('infer', 'contract')];"
        "assert 'dagster' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

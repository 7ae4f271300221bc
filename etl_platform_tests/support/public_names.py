"""The names by which an installation, a script and a person know the platform, one a line.

Belongs here: how they are collected. The list itself is `fixtures/public_names.txt`, written by this module:
`python -m etl_platform_tests.support.public_names`. Not here: tables and columns, which are the contracts' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import dagster as dg

from etl_platform.cli.main import cli
from etl_platform.defs.assemble import build_defs
from etl_platform.defs.launching import INSTITUTION_TAG
from etl_platform.defs.overdue import AGAIN_TAG
from etl_platform.resources.processes import PROCESS_TAG
from etl_platform.settings import Settings

FILE = Path(__file__).parents[1] / "fixtures" / "public_names.txt"
OWN_TAGS = (INSTITUTION_TAG, AGAIN_TAG, PROCESS_TAG)


def public_names(definitions: dg.Definitions) -> list[str]:
    """Kind and name of all of them, in order."""
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    names = {
        *(f"asset {key.to_user_string()}" for key in graph.get_all_asset_keys()),
        *(f"check {key.asset_key.to_user_string()} {key.name}" for key in graph.asset_check_keys),
        *(f"job {job.name}" for job in repository.get_all_jobs() if not job.name.startswith("__")),
        *(f"sensor {sensor.name}" for sensor in repository.sensor_defs),
        *(f"schedule {schedule.name}" for schedule in repository.schedule_defs),
        *(f"resource {name}" for name in definitions.resources or {}),
        *(f"tag {name}" for name in OWN_TAGS),
        "setting DAGSTER_HOME",
        *(f"setting ETL_{name.upper()}" for name in Settings.model_fields if name != "dagster_home"),
        *_commands(cli, "etl-platform"),
    }
    return sorted(names)


def _commands(command: click.Command, path: str) -> Iterator[str]:
    yield f"command {path}"
    for parameter in command.params:
        spelled = [*parameter.opts, *parameter.secondary_opts] if isinstance(parameter, click.Option) else []
        yield from (f"command {path} {name}" for name in spelled or [f"<{parameter.name}>"])
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(below, f"{path} {name}")


if __name__ == "__main__":
    FILE.write_text("\n".join(public_names(build_defs(Settings()))) + "\n", encoding="utf-8")

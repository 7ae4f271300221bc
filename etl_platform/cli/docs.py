"""`etl-platform docs`: the page of every built-in contract as a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from etl_platform.contracts import Contract
from etl_platform.contracts.page import contract_page
from etl_platform.contracts.registry import built_in_contracts

FOLDER = Path("docs/contracts")


@click.command()
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=FOLDER, show_default=True)
def docs(folder: Path) -> None:
    """Write the page of every contract: columns, key, rules and parameters, one Markdown file per dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contract_files(built_in_contracts()).items():
        (folder / name).write_text(text, encoding="utf-8")
        click.echo(str(folder / name))


def contract_files(contracts: Mapping[str, Contract]) -> dict[str, str]:
    """File name -> text of every page."""
    return {f"{name}.md": contract_page(contract).rstrip("\n") + "\n" for name, contract in contracts.items()}

"""`etl-platform docs`: the page of every built-in contract as a file, and the law of the ledger in its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts import Contract
from etl_platform.contracts.page import contract_page
from etl_platform.ledger.law import ATTEMPTS, OBJECTS, diagram, table

FOLDER = Path("docs/contracts")
LEDGER_PAGE = Path("docs/ledger.md")
_LAWS = {"objects": OBJECTS, "attempts": ATTEMPTS}


@click.command()
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=FOLDER, show_default=True)
def docs(folder: Path) -> None:
    """Write the page of every contract: columns, key, rules and parameters, one Markdown file per dataset. Beside the
    folder, in ledger.md, the tables and pictures of the ledger's states are brought up to date."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contract_files(built_in_contracts()).items():
        (folder / name).write_text(text, encoding="utf-8")
        click.echo(str(folder / name))
    page = folder.parent / LEDGER_PAGE.name
    if page.is_file():
        page.write_text(with_law(page.read_text(encoding="utf-8")), encoding="utf-8")
        click.echo(str(page))


def contract_files(contracts: Mapping[str, Contract]) -> dict[str, str]:
    """File name -> text of every page."""
    return {f"{name}.md": contract_page(contract).rstrip("\n") + "\n" for name, contract in contracts.items()}


def with_law(text: str) -> str:
    """The ledger's page with its generated parts as `law.py` gives them; people write the rest."""
    for name, law in _LAWS.items():
        begin, end = f"<!-- law: {name} -->\n", "<!-- end -->"
        head, _, tail = text.partition(begin)
        _, _, tail = tail.partition(end)
        text = f"{head}{begin}\n```mermaid\n{diagram(law)}\n```\n\n{table(law)}\n\n{end}{tail}"
    return text

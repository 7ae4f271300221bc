"""`etl-platform contract`: what a valid row is, as a page or as SQL."""

from __future__ import annotations

import click

from etl_platform.cli.choices import parse_names
from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.ddl import create_statements
from etl_platform.contracts.identifiers import Dialect
from etl_platform.contracts.page import contract_page


@click.group()
def contract() -> None:
    """The contracts: one definition per dataset from which everything else follows."""


@contract.command("list")
def list_contracts() -> None:
    """The datasets."""
    for name, found in sorted(BUILT_IN.items()):
        click.echo(f"{name}: {found.title}")


@contract.command()
@click.argument("dataset")
@click.option(
    "--sql", type=click.Choice(["duckdb", "postgres", "snowflake"]), help="The table as DDL instead of the page."
)
@click.option("--schema", default="institution_a", show_default=True, help="Warehouse schema in the DDL.")
def show(dataset: str, sql: Dialect | None, schema: str) -> None:
    """The page of DATASET in Markdown: columns, key, rules, parameters; or its DDL.

    \b
      etl-platform contract show prices
      etl-platform contract show prices --sql postgres
    """
    (name,) = parse_names(dataset, BUILT_IN, "dataset")[:1]
    if sql:
        click.echo(";\n".join(create_statements(BUILT_IN[name].silver, schema, sql)) + ";")
    else:
        click.echo(contract_page(BUILT_IN[name]))

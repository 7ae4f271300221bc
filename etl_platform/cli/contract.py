"""`etl-platform contract`: what a valid row is, as a page or as SQL."""

from __future__ import annotations

import click

from etl_platform.catalog.registry import load_contracts
from etl_platform.cli.choices import parse_names
from etl_platform.contracts.ddl import create_statements
from etl_platform.contracts.identifiers import Dialect
from etl_platform.contracts.page import contract_page
from etl_platform.settings import load_settings


@click.group()
def contract() -> None:
    """The contracts: one definition per dataset from which everything else follows."""


@contract.command("list")
def list_contracts() -> None:
    """The datasets."""
    for name, found in sorted(load_contracts(load_settings()).items()):
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
    contracts = load_contracts(load_settings())
    (name,) = parse_names(dataset, contracts, "dataset")[:1]
    if sql:
        click.echo(";\n".join(create_statements(contracts[name].silver, schema, sql)) + ";")
    else:
        click.echo(contract_page(contracts[name]))

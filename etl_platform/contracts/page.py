"""A contract as a Markdown page for people."""

from __future__ import annotations

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.ddl import sql_type


def contract_page(contract: Contract) -> str:
    """Columns, key, rules and parameters of `contract`, in Markdown. Derived from the contract alone."""
    lines = [
        f"# {contract.dataset}",
        "",
        contract.description,
        "",
        f"- key inside a partition: {', '.join(f'`{k}`' for k in contract.key) or 'none (whole rows)'}",
        f"- event time: {f'`{contract.event_time}`' if contract.event_time else 'none'}",
        "",
        "## Columns",
        "",
        "| column | type | SQL type (Postgres) | required | meaning |",
        "|---|---|---|---|---|",
    ]
    for column in contract.silver.columns:
        required = "no" if column.nullable else "yes"
        sql = sql_type(column.dtype, "postgres")
        lines.append(f"| `{column.name}` | {column.dtype} | {sql} | {required} | {column.description} |")
    lines += ["", "## Rules", "", "A row that breaks a rule goes to quarantine under the rule's name.", ""]
    lines += ["| rule | meaning |", "|---|---|"]
    lines += [f"| `{rule.name}` | {_cell(rule.sentence)} |" for rule in contract.rules]
    if contract.parameters:
        lines += ["", "## Parameters", "", "What an institution may set under `datasets.<dataset>.parameters`.", ""]
        lines += ["| parameter | default |", "|---|---|"]
        lines += [f"| `{name}` | `{_cell(str(value))}` |" for name, value in sorted(contract.parameters.items())]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

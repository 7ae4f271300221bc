"""A contract as a Markdown page for people."""

from __future__ import annotations

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.ddl import sql_type
from etl_platform.contracts.shaping import flag_column


def contract_page(contract: Contract) -> str:
    """Columns, key, rules and parameters of `contract`, in Markdown. Derived from the contract alone."""
    lines = [
        f"# {contract.dataset}",
        "",
        contract.description,
        "",
        f"- key inside a partition: {_key(contract)}",
        f"- event time: {f'`{contract.event_time}`' if contract.event_time else 'none'}",
        *_overlap_lines(contract),
        *_declared_lines(contract),
        *_watch_lines(contract),
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


def _key(contract: Contract) -> str:
    columns = ", ".join(f"`{name}`" for name in contract.key) or "none (whole rows)"
    occurrence = "; the n-th row of a key in one file meets the n-th in others: equal rows of a file all stay"
    return columns + (occurrence if contract.by_occurrence else "")


def _overlap_lines(contract: Contract) -> list[str]:
    """What becomes of a key that several dates deliver."""
    if contract.lives_once:
        return ["- a key that several dates deliver stays on the date of its event time; elsewhere it is a duplicate"]
    return ["- each date is a snapshot: a key may be there on every date"] if contract.key else []


def _declared_lines(contract: Contract) -> list[str]:
    """What only declared datasets can choose."""
    if contract.declaration is None:
        return []
    duplicates = "the latest row of a key wins" if contract.deduplicates else "every row is kept"
    lines = [f"- write mode: {contract.write_mode}; duplicates: {duplicates}"]
    if contract.naming:
        special = "without special characters" if contract.naming.remove_special else "as sent"
        lines.append(f"- column names of senders: {contract.naming.case} case, {special}")
    lines += [f"- `{column}` is sent as `{name}`" for name, column in contract.sources.items()]
    for name, policy in contract.nulls.items():
        what = f"filled with `{policy.value}`" if policy.action == "fill" else f"flagged in `{flag_column(name)}`"
        lines.append(f"- a missing `{name}` is {what}")
    return lines + [f"- `{derived.name}` = `{_cell(derived.sql)}`" for derived in contract.derived]


def _watch_lines(contract: Contract) -> list[str]:
    """What is held against earlier partitions."""
    lines = []
    for watched in contract.watched:
        group = f", for each {' and '.join(f'`{name}`' for name in watched.by)}" if watched.by else ""
        lines.append(f"- warns when the median of `{watched.column}` jumps by a power of ten{group}")
    if contract.categories:
        names = ", ".join(f"`{name}`" for name in contract.categories)
        lines.append(f"- warns of a value that is new in {names}")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

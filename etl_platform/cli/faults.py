"""Institutions whose file is not well, told to people: one line each."""

from __future__ import annotations

from rich.console import Console

from etl_platform.cli.session import plain
from etl_platform.defs.graph import Graph


def print_faults(console: Console, graph: Graph) -> bool:
    """A line for each institution that is out of use. Returns whether there is one: exit status 1."""
    for fault in graph.faults:
        console.print("[red]not well[/]", plain(f"institution {fault.institution}: {fault.message}"), soft_wrap=True)
    return bool(graph.faults)

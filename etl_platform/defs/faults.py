"""Institutions whose file is not well, where people look in the UI: one entry of the asset graph for each.

Dagster shows no metadata of a code location, so an asset of its own says it: `institution_file/<code>` in the group
`not_well`, which nothing can materialize and which is gone with the fault.
"""

from __future__ import annotations

from collections import defaultdict

import dagster as dg

from etl_platform.defs.graph import OWNERS, Graph

GROUP = "not_well"


def build_fault_assets(graph: Graph) -> list[dg.AssetSpec]:
    """An external asset for each institution that is out of use, with the reason as its description."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for fault in graph.faults:
        reasons[_key_part(fault.institution)].append(fault.message)
    return [
        dg.AssetSpec(
            ["institution_file", code],
            group_name=GROUP,
            owners=OWNERS,
            description="Out of use, and nothing of it is loaded: " + " | ".join(messages),
        )
        for code, messages in reasons.items()
    ]


def fault_metadata(graph: Graph) -> dict[str, str]:
    """The same for programs: metadata of the definitions, by file."""
    return {f"not_well/{fault.path.name}": fault.message for fault in graph.faults}


def _key_part(code: str) -> str:
    """A file may have any name, a part of an asset key not."""
    return "".join(c if c.isalnum() or c in "_-." else "_" for c in code) or "_"

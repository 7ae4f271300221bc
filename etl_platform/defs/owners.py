"""Who is asked about the data of an institution: the `owner:` of its file, on the assets of the datasets it sends.

Belongs here: what the UI shows of them. Not here: the owners of the assets themselves (`graph.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from etl_platform.defs.graph import Graph

SENDERS = "senders"


def with_senders(assets: Iterable[dg.AssetsDefinition], graph: Graph) -> list[dg.AssetsDefinition]:
    """The same assets; those of a dataset list its senders and whom to ask, as metadata."""
    shown = {dataset: _senders(dataset, graph) for dataset in graph.contracts}

    def described(spec: dg.AssetSpec) -> dg.AssetSpec:
        table = shown.get(spec.key.path[-1])
        return spec if table is None else spec.merge_attributes(metadata={SENDERS: table})

    return list(dg.map_asset_specs(described, assets))


def _senders(dataset: str, graph: Graph) -> dg.TableMetadataValue | None:
    records = [
        dg.TableRecord({"institution": code, "name": one.name, "owner": one.owner})
        for code, one in sorted(graph.institutions.items())
        if dataset in one.datasets
    ]
    return dg.MetadataValue.table(records) if records else None

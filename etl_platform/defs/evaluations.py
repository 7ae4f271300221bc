"""Check results as Dagster keeps them: with the partition and the materialization that they speak of.

A step may yield a result and leave that to Dagster. It then asks for the latest materialization again for every result,
and reads its event anew, with the schema of all columns: of a thousand results that took longer than the rows did.
The type that names a materialization is not public in Dagster 1.13; `test_evaluations.py` holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (  # noqa: TID251 - Dagster exports the evaluation, but not the type of this field of it
    AssetCheckEvaluationTargetMaterializationData as Target,
)

__all__ = ["Target", "evaluated", "latest_target", "yielded"]


def latest_target(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str) -> Target | None:
    """The latest materialization of a partition, None where there is none: what Dagster asks for a result."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    for made in instance.fetch_materializations(wanted, limit=1).records:
        return Target(storage_id=made.storage_id, run_id=made.run_id, timestamp=made.timestamp)
    return None


def evaluated(
    asset: dg.AssetKey, result: dg.AssetCheckResult, partition: str, target: Target | None, *, blocking: bool
) -> dg.AssetCheckEvaluation:
    """A result of a check of `asset` for `partition`. blocking: as its spec says."""
    assert result.check_name is not None
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=result.check_name,
        passed=bool(result.passed),
        metadata=result.metadata,
        target_materialization_data=target,
        severity=result.severity,
        description=result.description,
        blocking=blocking,
        partition=partition,
    )


def yielded(
    specs: Mapping[str, dg.AssetCheckSpec],
    results: Iterable[dg.AssetCheckResult],
    partition: str,
    target: Target | None,
) -> Iterator[dg.Output[None] | dg.AssetCheckEvaluation]:
    """What a step of checks yields for its results: those that wait for a check see its output. specs: the step's, by
    name of the output."""
    outputs = {spec.name: (output, spec) for output, spec in specs.items()}
    for result in results:
        assert result.check_name is not None
        output, spec = outputs[result.check_name]
        yield dg.Output(None, output)
        yield evaluated(spec.asset_key, result, partition, target, blocking=spec.blocking)

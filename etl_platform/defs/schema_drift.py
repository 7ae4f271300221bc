"""Schema drift of a partition's files: found, put on record, and acted on as the institution's policy says.

ignore: on record only. warn: the check fails as a warning. add: new columns are kept in `_extra`, anything else warns.
fail: nothing of the partition is published.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.attempt import now
from etl_platform.defs.graph import Graph
from etl_platform.defs.table_metadata import markdown
from etl_platform.delivery import Delivery
from etl_platform.drift.columns import Difference, describe, differences_frame, find_drift
from etl_platform.institutions.model import DriftPolicy
from etl_platform.landing.zone import root_name
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import DeliveredSchema
from etl_platform.transforms.sender_schema import SenderSchema
from etl_platform.transforms.silver import Silver, SourceFile

CHECK = "schema_has_not_drifted"


def policy_of(graph: Graph, dataset: str, institution: str | None) -> DriftPolicy:
    """What the institution wants on drift of `dataset`; nothing where it does not send it."""
    tenant = graph.institutions.get(institution or "")
    return tenant.drift_policy_of(dataset) if tenant and dataset in tenant.datasets else "ignore"


def sender_schema_of(delivered: DeliveredSchema | None) -> SenderSchema | None:
    """The ledger's record as the transforms know it."""
    return SenderSchema.from_json(delivered.format, delivered.columns) if delivered else None


def record_drift(
    ledger: Ledger,
    run_id: str,
    graph: Graph,
    contract: Contract,
    partition: PartitionKey,
    result: Silver,
    files: Sequence[SourceFile],
    rows: Sequence[dict[str, Any]],
) -> list[tuple[str, Difference]]:
    """Compare every file with the contract and with the delivery before it, and record what was found.

    Returns the key of each file with its differences.
    """
    policy = policy_of(graph, contract.dataset, partition.institution)
    wanted = Delivery.of(contract.dataset, partition)
    last = sender_schema_of(ledger.last_schema(wanted))
    institution = graph.institutions[partition.institution or ""]
    sends = contract.dataset in institution.datasets
    limit = institution.largest_quarantined_share(contract.dataset) if sends else 1.0
    delivered: list[DeliveredSchema] = []
    drifted: list[tuple[str, Difference]] = []
    known: dict[tuple[int, int, frozenset[str]], tuple[Difference, ...]] = {}
    for file, row, counts in zip(files, rows, result.files, strict=True):
        if counts.schema is None:
            continue  # not one record could be read: refused for a reason of its own
        # Files that look alike have one schema object, and differ from the one before in the same way.
        case = (id(counts.schema), id(last), frozenset(file.sender.supplied))
        if case not in known:
            known[case] = find_drift(counts.schema, contract, file.sender.supplied, last)
        found = known[case]
        drifted += [(file.key, difference) for difference in found]
        is_good = counts.refusal is None and result.quarantined_share <= limit and not (found and policy == "fail")
        last = counts.schema if is_good else last
        delivered.append(
            DeliveredSchema(
                partition=wanted,
                root=root_name(institution),
                uri=row["uri"],
                sha256=row["sha256"],
                key=file.key,
                delivery=file.delivery,
                format=counts.schema.format,
                policy=policy,
                columns=counts.schema.columns_json,
                differences=[difference.as_json() for difference in found],
                is_baseline=is_good,
            )
        )
    ledger.record_schemas(run_id, wanted, delivered, now=now())
    return drifted


def stop_drift(drifted: list[tuple[str, Difference]], graph: Graph, dataset: str, partition: PartitionKey) -> None:
    """Under the policy `fail`, before anything is published: raises dg.Failure for any difference."""
    if not drifted or policy_of(graph, dataset, partition.institution) != "fail":
        return
    subject = f"{partition.institution} {dataset} {partition.business_date}"
    raise dg.Failure(
        description=(
            f"{subject}: found schema drift: {describe(drifted)}; expected the columns of the contract and of the last "
            "delivery (`drift_policy: fail`); nothing was published; next step: ask the sender, or map the new names "
            "under `columns:`, or accept the change with `drift_policy: warn` or `add`, then `etl-platform replay`"
        ),
        metadata={"differences": dg.MetadataValue.md(markdown(differences_frame(drifted)))},
        allow_retries=False,
    )


def drift_of(delivered: Sequence[DeliveredSchema]) -> list[tuple[str, Difference]]:
    """Key of the file and difference, of every one on record."""
    return [(found.key, Difference.from_json(line)) for found in delivered for line in found.differences]


def is_tolerated(difference: Difference, policy: DriftPolicy) -> bool:
    """Whether the policy has nothing to say against a difference."""
    return policy == "ignore" or (policy == "add" and difference.change == "new")

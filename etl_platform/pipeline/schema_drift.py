"""Schema drift of a partition's files: found, put on record, and acted on as the institution's policy says.

ignore: on record only. warn: the check fails as a warning. add: new columns are kept in `_extra`, anything else warns.
fail: nothing of the partition is published.
"""

from __future__ import annotations

from collections.abc import Sequence

from etl_platform.clock import now
from etl_platform.contracts.manifest import ManifestRow
from etl_platform.delivery import Delivery
from etl_platform.drift.columns import Difference, describe, differences_frame, find_drift
from etl_platform.errors import DeliveryRefusedError
from etl_platform.institutions.model import DriftPolicy
from etl_platform.landing.zone import root_name
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import DeliveredSchema
from etl_platform.pipeline.configuration import Configuration
from etl_platform.transforms.sender_schema import SenderSchema
from etl_platform.transforms.silver import Silver, SourceFile


def sender_schema_of(delivered: DeliveredSchema | None) -> SenderSchema | None:
    """The ledger's record as the transforms know it."""
    return SenderSchema.from_json(delivered.format, delivered.columns) if delivered else None


def record_drift(
    run_id: str,
    delivery: Delivery,
    config: Configuration,
    ledger: Ledger,
    result: Silver,
    files: Sequence[SourceFile],
    rows: Sequence[ManifestRow],
) -> list[tuple[str, Difference]]:
    """Compare every file with the contract and with the delivery before it, and record what was found.

    Returns the key of each file with its differences.
    """
    policy = config.drift_policy_of(delivery.dataset, delivery.institution)
    contract = config.contract_of(delivery.dataset, delivery.institution)
    last = sender_schema_of(ledger.last_schema(delivery))
    institution = config.institutions[delivery.institution]
    limit = config.quarantine_limit_of(delivery.dataset, delivery.institution)
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
                partition=delivery,
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
    ledger.record_schemas(run_id, delivery, delivered, now=now())
    return drifted


def stop_drift(drifted: list[tuple[str, Difference]], delivery: Delivery, config: Configuration) -> None:
    """Under the policy `fail`, before anything is stored: raises DeliveryRefusedError for any difference."""
    if not drifted or config.drift_policy_of(delivery.dataset, delivery.institution) != "fail":
        return
    raise DeliveryRefusedError(
        str(delivery),
        found=f"schema drift: {describe(drifted)}",
        expected="the columns of the contract and of the last delivery (`drift_policy: fail`); nothing was published",
        next_step="ask the sender, or map the new names under `columns:`, or accept the change with "
        "`drift_policy: warn` or `add`, then `etl-platform replay`",
        facts={"differences": differences_frame(drifted)},
    )


def drift_of(delivered: Sequence[DeliveredSchema]) -> list[tuple[str, Difference]]:
    """Key of the file and difference, of every one on record."""
    return [(found.key, Difference.from_json(line)) for found in delivered for line in found.differences]


def is_tolerated(difference: Difference, policy: DriftPolicy) -> bool:
    """Whether the policy has nothing to say against a difference."""
    return policy == "ignore" or (policy == "add" and difference.change == "new")

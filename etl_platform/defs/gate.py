"""The gate before gold and warehouse: they rest only on silver whose blocking checks passed.

Inside one run Dagster holds them back itself. A run of gold alone would not be: it asks the ledger.
"""

from __future__ import annotations

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.attempt import dataset_partition
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Outcome


def require_checked(ledger: Ledger, dataset: str, partition: PartitionKey) -> None:
    """Stop when the latest attempt at the silver partition did not succeed. Raises dg.Failure, not retried."""
    wanted = dataset_partition(dataset, partition)
    attempt = ledger.latest_attempt(wanted)
    if attempt is None or attempt.outcome is Outcome.SUCCEEDED:
        return
    raise dg.Failure(
        description=(
            f"silver/{dataset} of {partition}: found its latest attempt {attempt.outcome} "
            f"({attempt.error or 'not finished'}), expected one whose blocking checks passed; "
            f"next step: materialize silver/{dataset} of this partition with its checks first"
        ),
        allow_retries=False,
    )

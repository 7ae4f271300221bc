"""Whether what one dataset refers to exists in another. A verdict that never blocks.

Not here: finding unknown values (`transforms/references.py`).
"""

from __future__ import annotations

from etl_platform.contracts.table import PartitionKey
from etl_platform.delivery import Delivery
from etl_platform.pipeline.platform import Platform
from etl_platform.pipeline.verdict import Verdict
from etl_platform.stores.reading import read_frame, read_frames
from etl_platform.transforms.references import describe_references, unknown_references

TRANSACTIONS, ACCOUNTS, COLUMN = "transactions", "accounts", "account_id"


def judge_accounts(delivery: Delivery, platform: Platform) -> Verdict:
    """Whether the accounts of a delivery of transactions are known."""
    contracts, lake = platform.config.contracts, platform.lake
    date, institution = delivery.business_date, delivery.institution
    snapshot = platform.ledger.latest_loaded_date(Delivery(ACCOUNTS, date, institution))
    if snapshot is None:
        text = f"no accounts snapshot of {institution} on {date} or before: nothing to compare with"
        return Verdict(True, {}, text, warns=True)
    known = read_frame(lake, contracts[ACCOUNTS].silver, [PartitionKey(snapshot, institution)], [COLUMN])
    rows = read_frames(lake, contracts[TRANSACTIONS].silver, [delivery.partition], [COLUMN])
    found = unknown_references(rows, known[COLUMN], COLUMN)
    numbers: dict[str, int | float | str] = {
        "snapshot": snapshot.isoformat(),
        "accounts_in_snapshot": known.height,
        "accounts": found.values,
        "accounts_unknown": found.values_unknown,
        "rows": found.rows,
        "rows_unknown": found.rows_unknown,
    }
    text = describe_references(found, COLUMN, ACCOUNTS, snapshot)
    return Verdict(not found.values_unknown, numbers, text, found.sample, warns=True)

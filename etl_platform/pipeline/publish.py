"""The gate before gold and warehouse: they rest only on silver whose blocking checks passed, and whoever writes the
last of them publishes the attempt that stored it.

Inside one run a launcher may hold them back itself. A run of gold alone would not be: it asks the ledger.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from etl_platform.clock import now
from etl_platform.delivery import Delivery
from etl_platform.errors import HeldBackError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Attempt, Outcome, Write

_passed: dict[tuple[str, str], Attempt] = {}
"""(run, table) -> the attempt whose rows that table is being written from, between a step's body and its end."""
_taken: deque[tuple[str, str, Delivery]] = deque(maxlen=1_000)
"""Run, attempt and delivery of what passed the gate lately: one of its tables may fail the attempt, and the others are
written all the same."""


def require_checked(ledger: Ledger, delivery: Delivery, run_id: str, table: str) -> None:
    """Stop when the latest attempt at the delivery is not checked. Raises HeldBackError.

    run_id, table: of the step that passes here, for `note_written`.
    """
    attempt = ledger.latest_attempt(delivery)
    if attempt is None or _passes(ledger, attempt, run_id, table):
        return
    raise HeldBackError(
        f"silver/{delivery.dataset} of {delivery.partition}",
        found=f"its latest attempt is {attempt.outcome} ({attempt.error or 'not finished'})",
        expected="one whose blocking checks passed",
        next_step=f"materialize silver/{delivery.dataset} of this partition with its checks and what follows, or "
        f"`etl-platform run --date {delivery.business_date} --institution {delivery.institution}`",
    )


def note_checked(ledger: Ledger, delivery: Delivery, run_id: str, table: str) -> None:
    """The same for a table that rests on gold: gold itself was stopped, what is there is right."""
    attempt = ledger.latest_attempt(delivery)
    if attempt is not None:
        _passes(ledger, attempt, run_id, table)


def note_written(ledger: Ledger, run_id: str, table: str, wanted: Mapping[str, str | None]) -> None:
    """Put on record that `table` holds what the attempt stored that the step passed the gate with. With all of `wanted`
    the attempt has succeeded."""
    attempt = _passed.pop((run_id, table), None)
    if attempt is not None:
        ledger.publish(attempt.run_id, attempt.partition, [table], wanted=wanted, writer=run_id, now=now())


def _passes(ledger: Ledger, attempt: Attempt, run_id: str, table: str) -> bool:
    taken = (run_id, attempt.run_id, attempt.partition)
    # Of this run a gold table has failed since, by a rule of its own: silver is right, and is published.
    has_failed_since = attempt.outcome is Outcome.FAILED and taken in _taken
    is_checked = attempt.outcome in (Outcome.CHECKED, Outcome.SUCCEEDED) or has_failed_since
    if is_checked:
        _passed[run_id, table] = attempt
        _taken.append(taken)
    if is_checked and attempt.run_id != run_id:
        # Nothing holds back a newer attempt: it must not count as published until this write has ended.
        ledger.begin_write(Write(run_id, attempt.partition, table, attempt.run_id))
    return is_checked

"""Transactions on accounts that the institution's snapshot does not know are reported, and block nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.settings import Settings
from etl_platform_tests.support.platform import DATE, Platform, Run

CHECK = "transactions.accounts_are_known"
DAY = dt.timedelta(days=1)


@pytest.fixture
def bank(tmp_path: Path, dagster_instance: dg.DagsterInstance) -> Platform:
    """Two banks that deliver transactions and accounts as plain CSV."""
    folder = tmp_path / "institutions"
    folder.mkdir()
    for code in ("first", "second"):
        (folder / f"{code}.yaml").write_text(
            f"code: {code}\nname: {code}\ndatasets: {{transactions: {{}}, accounts: {{}}}}\n"
        )
    return Platform(Settings(home=tmp_path / "home", institutions_path=folder), dagster_instance)


def put_transactions(bank: Platform, accounts: Sequence[str]) -> None:
    header = "transaction_id,account_id,timestamp,amount,currency,type,description\n"
    lines = [f"T{i},{account},{DATE}T10:00:00Z,1,USD,deposit,\n" for i, account in enumerate(accounts)]
    bank.put(f"first/transactions/{DATE}/t.csv", header + "".join(lines))


def put_accounts(bank: Platform, accounts: Sequence[str], date: dt.date = DATE, code: str = "first") -> None:
    header = "account_id,customer_id,account_type,status,currency,opened_date,closed_date,balance,risk_class\n"
    lines = [f"{account},C1,savings,open,USD,2020-01-02,,0,low\n" for account in accounts]
    bank.put(f"{code}/accounts/{date}/a.csv", header + "".join(lines))


def numbers(run: Run) -> dict[str, object]:
    metadata = run.checks[CHECK].metadata
    return {name: value.value for name, value in metadata.items() if name != "sample"}


def test_unknown_accounts_are_a_warning_with_numbers_and_sample(bank: Platform) -> None:
    put_accounts(bank, ["A", "B"])
    put_transactions(bank, ["A", "X", "X", "Y"])

    run = bank.ingest("first", datasets=["transactions", "accounts"])

    check = run.checks[CHECK]
    assert not check.passed and not check.blocking and check.severity is dg.AssetCheckSeverity.WARN
    # The snapshot of the same run: the check waits for it.
    assert numbers(run) == {
        "snapshot": str(DATE), "accounts_in_snapshot": 2,
        "accounts": 3, "accounts_unknown": 2, "rows": 4, "rows_unknown": 3,
    }  # fmt: skip
    assert str(check.metadata["sample"].value).count("X") == 1
    assert check.description == f"2 of 3 account_id (3 of 4 rows) are not in accounts of {DATE}"
    assert run.succeeded and bank.table("warehouse", "transactions", "first").height == 4
    assert bank.table("gold", "transaction_summary", "first").height == 3


def test_the_latest_snapshot_on_or_before_the_date_counts_and_no_later_one(bank: Platform) -> None:
    for date, known in ((DATE - 9 * DAY, ["A", "B", "C"]), (DATE - 2 * DAY, ["A", "B"]), (DATE + DAY, ["A"])):
        put_accounts(bank, known, date)
        assert bank.ingest("first", date, datasets=["accounts"]).succeeded
    put_transactions(bank, ["A", "B"])

    run = bank.ingest("first", datasets=["transactions"])

    assert run.checks[CHECK].passed
    assert (numbers(run)["snapshot"], numbers(run)["accounts_in_snapshot"]) == (str(DATE - 2 * DAY), 2)


def test_without_a_snapshot_of_the_institution_itself_the_check_passes_and_says_so(bank: Platform) -> None:
    put_accounts(bank, ["B"], code="second")
    put_accounts(bank, ["B"], DATE + DAY)
    assert bank.ingest("second", datasets=["accounts"]).succeeded
    assert bank.ingest("first", DATE + DAY, datasets=["accounts"]).succeeded
    put_transactions(bank, ["A"])

    run = bank.ingest("first", datasets=["transactions"])

    check = run.checks[CHECK]
    assert check.passed and f"no accounts snapshot of first on {DATE} or before" in (check.description or "")
    assert run.succeeded

"""Transactions on accounts that the institution's snapshot does not know are reported, and block nothing."""

from __future__ import annotations

import datetime as dt
import json

import dagster as dg
import polars as pl

from etl_platform_tests.support.platform import DATE, Platform, Run, dagster_instance, platform  # noqa: F401

CODE = "institution_b"
CHECK = "transactions.accounts_are_known"


def deliver_transactions(platform: Platform, accounts: list[str], date: dt.date = DATE) -> None:
    lines = [
        {
            "id": f"{date:%Y%m%d}-{i}", "account": account, "ts": f"{date}T15:00:{i:02d}+00:00", "amount": "10.00",
            "currency": "USD", "type": "deposit", "description": None,
        }
        for i, account in enumerate(accounts)
    ]  # fmt: skip
    platform.put(f"{CODE}/transactions/{date}/rows.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def deliver_accounts(platform: Platform, accounts: list[str], date: dt.date, code: str) -> None:
    frame = pl.DataFrame({"account_id": accounts}).select(
        "account_id",
        customer_id=pl.lit("CUS-1"),
        account_type=pl.lit("checking"),
        status=pl.lit("open"),
        currency=pl.lit("SGD"),
        opened_date=pl.lit(dt.date(2020, 1, 2)),
        closed_date=pl.lit(None, pl.Date),
        balance=pl.lit(0).cast(pl.Decimal(18, 4)),
        risk_class=pl.lit(None, pl.String),
    )
    path = platform.put(f"{code}/accounts/{date}/snapshot.parquet", b"")
    frame.write_parquet(path)


def numbers(run: Run) -> dict[str, object]:
    metadata = run.checks[CHECK].metadata
    return {name: metadata[name].value for name in ("accounts", "accounts_unknown", "rows", "rows_unknown", "snapshot")}


def test_without_any_snapshot_the_check_passes_and_says_so(platform: Platform) -> None:
    deliver_transactions(platform, ["A-1"])
    run = platform.ingest(CODE, datasets=["transactions"])
    assert run.succeeded
    check = run.checks[CHECK]
    assert check.passed and "no accounts snapshot of institution_b" in (check.description or "")

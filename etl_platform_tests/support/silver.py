"""Landing files through the whole way of a row, without Dagster, lake or ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.table import PartitionKey
from etl_platform.institutions.file_format import sender_format
from etl_platform.institutions.loader import bind_contract
from etl_platform.institutions.model import Institution
from etl_platform.transforms.silver import Silver, SilverPlan, SourceFile, build_silver


def silver_of(
    landing: Path,
    keys: Sequence[str],
    institution: Institution,
    dataset: str,
    *,
    date: dt.date,
    scratch: Path,
    contracts: Mapping[str, Contract] | None = None,
) -> Silver:
    """Silver and quarantine of one partition, whose files were delivered in the order of `keys`."""
    config = institution.datasets[dataset]
    pattern = institution.pattern(dataset)
    files = []
    for delivery, key in enumerate(keys, 1):
        match = pattern.match(key, institution.code, dataset)
        assert match is not None and (match.dataset, match.business_date) == (dataset, date), key
        files.append(SourceFile(key, landing / key, delivery, sender_format(institution, dataset, match.captured)))
    plan = SilverPlan(
        contract=bind_contract((contracts or built_in_contracts())[dataset], institution),
        partition=PartitionKey(date, institution.code),
        options=config.format,
        processed_at=dt.datetime.now(dt.UTC),
        scratch=scratch,
        limits=config.limits,
        batch_rows=institution.batch_rows,
    )
    return build_silver(files, plan)

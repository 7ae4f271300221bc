"""What the pipeline says, in Dagster's words: facts as metadata, verdicts as check results, errors as failures.

The one translation; the pipeline itself knows no Dagster (`pipeline/`). Not here: where events are put on record
(`teller.py`, the assets), what Dagster shows of a table (`table_metadata.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dagster as dg
import polars as pl

from etl_platform.defs.table_metadata import markdown, output_metadata, preview_text
from etl_platform.errors import DeliveryRefusedError, PermanentError
from etl_platform.pipeline.facts import Fact, Facts, Markdown, Stored
from etl_platform.pipeline.verdict import Verdict


@contextmanager
def failures_translated() -> Iterator[None]:
    """A PermanentError leaves the block as a `dg.Failure` with its message and facts, which Dagster does not retry."""
    try:
        yield
    except PermanentError as error:
        shown = facts_metadata(error.facts) if isinstance(error, DeliveryRefusedError) else {}
        raise dg.Failure(description=str(error), metadata=shown, allow_retries=False) from error


def facts_metadata(facts: Facts) -> dict[str, dg.MetadataValue]:
    """Facts as Dagster shows them."""
    return {name: _value(fact) for name, fact in facts.items()}


def stored_metadata(stored: Stored) -> dict[str, dg.MetadataValue]:
    """Everything that a materialization says of what was stored."""
    shown = output_metadata(stored.table, stored.partitions, stored.written, stored.seconds, layer=stored.layer)
    if stored.preview is not None:
        shown["preview"] = dg.MetadataValue.md(preview_text(stored.preview))
    return shown | facts_metadata(stored.facts)


def check_results(asset: dg.AssetKey, verdicts: Mapping[str, Verdict]) -> Iterator[dg.AssetCheckResult]:
    """Verdicts on the table of `asset`, as Dagster wants them."""
    for name, verdict in verdicts.items():
        metadata = facts_metadata(verdict.numbers)
        if verdict.sample is not None and verdict.sample.height:
            metadata["sample"] = _value(verdict.sample)
        yield dg.AssetCheckResult(
            check_name=name,
            asset_key=asset,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.WARN if verdict.warns else dg.AssetCheckSeverity.ERROR,
            metadata=metadata,
            description=verdict.text,
        )


def warning_text(name: str | None, text: str | None) -> str:
    """A failed check in a line, for people who have no UI open."""
    return f"{name}: {text}"


def _value(fact: Fact) -> dg.MetadataValue:
    if isinstance(fact, pl.DataFrame):
        return dg.MetadataValue.md(markdown(fact))
    if isinstance(fact, Markdown):
        return dg.MetadataValue.md(str(fact))
    if isinstance(fact, str):
        return dg.MetadataValue.text(fact)
    return dg.MetadataValue.int(fact) if isinstance(fact, int) else dg.MetadataValue.float(fact)

"""`etl-platform plan`: what would become of one file, without doing it.

Reads the file, the configuration and the ledger; writes nothing. What it needs on disk is in a temporary folder of the
system's, which is gone when the command ends.
"""

from __future__ import annotations

import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import click
import polars as pl
from rich.console import Console
from rich.table import Table as RichTable

from etl_platform.cli.drift import COLUMNS, cells
from etl_platform.cli.plan_target import PlanTarget, find_target
from etl_platform.cli.session import Session, open_console, open_session, plain
from etl_platform.delivery import Delivery
from etl_platform.drift.columns import Difference, find_drift
from etl_platform.drift.profile import Profile, Profiler
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.file_format import sender_format
from etl_platform.institutions.model import DriftPolicy
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import LedgerObject, State
from etl_platform.limits import DEFECT_CHARACTERS, DEFECTS_SHOWN, DRIFT_PARTITIONS
from etl_platform.pipeline.drift_judges import semantic_warnings
from etl_platform.pipeline.schema_drift import is_tolerated, sender_schema_of
from etl_platform.pipeline.silver import silver_plan
from etl_platform.transforms.normalise import SenderFormat
from etl_platform.transforms.silver import FileCounts, Silver, SourceFile, build_silver

_FOUND = r"\(found '([^']*)'\)"


@dataclass(frozen=True)
class Outlook:
    """What would happen to the file. stops: why nothing of its partition would be published, if so. warnings: in what
    its values differ from those of earlier dates."""

    counts: FileCounts
    drift: tuple[Difference, ...]
    policy: DriftPolicy
    defects: pl.DataFrame
    stops: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> str:
        if self.counts.refusal:
            return f"REFUSE {self.counts.refusal.rule}: {self.counts.refusal}"
        if self.counts.quarantined:
            return f"QUARANTINE {self.counts.quarantined:,} of {self.counts.rows_read:,} rows"
        return "LOAD"

    @property
    def is_well(self) -> bool:
        return not self.stops and self.counts.refusal is None


@click.command()
@click.argument("uri")
@click.option("--institution", help="Code, instead of what the key says.")
@click.option("--dataset", help="Dataset, instead of what the key says.")
@click.option("--date", help="Business date, instead of what the key says.")
def plan(uri: str, institution: str | None, dataset: str | None, date: str | None) -> None:
    """What would happen to the file at URI: a landing key, an s3:// address or a path. Nothing is written.

    The file is judged alone: rows that another file of its partition repeats or supersedes are not counted as such.
    Exit status 1 when it would be refused, or would stop its partition.

    \b
      etl-platform plan institution_a/prices/2025-01-15/bars.csv
      etl-platform plan ~/mail/bars.csv --institution institution_a --dataset prices --date 2025-01-15
    """
    session = open_session()
    target = find_target(session, uri, institution, dataset, date)
    outlook = look_ahead(session, target)
    _print(target, outlook, open_console())
    if not outlook.is_well:
        raise click.exceptions.Exit(1)


def look_ahead(session: Session, target: PlanTarget) -> Outlook:
    """Read the file as its partition's run would, in a folder that is removed."""
    sender = _sender(session, target)
    wanted = Delivery.of(target.dataset, target.partition)
    ledger = Ledger(session.settings.ledger.get_secret_value(), read_only=True, retries=session.settings.retries)
    try:
        with tempfile.TemporaryDirectory(prefix="etl-plan-") as folder:
            silver = silver_plan(session.graph, wanted, Path(folder) / "scratch")
            file = SourceFile(target.key, target.fetch(Path(folder)), 1, sender)
            result = build_silver([file], silver)
            defects = result.quarantine.sort("_source_row").head(DEFECTS_SHOWN).collect()
            profiler = Profiler(silver.contract, session.graph.institutions[wanted.institution].time_zone)
            for frame in result.silver.collect_batches(maintain_order=False):
                deque(profiler.watch([frame]), maxlen=0)
        counts = result.files[0]
        last = sender_schema_of(ledger.last_schema(wanted, before_key=target.key))
        drift = find_drift(counts.schema, silver.contract, sender.supplied, last) if counts.schema else ()
        earlier = [Profile.from_json(found) for found in ledger.earlier_profiles(wanted, DRIFT_PARTITIONS)]
        warnings = semantic_warnings(silver.contract, profiler.profile(), earlier)
        policy = session.graph.drift_policy_of(wanted.dataset, wanted.institution)
        others = [o for o in ledger.objects(partition=wanted, states=[State.LOADED]) if o.key != target.key]
        limit = session.graph.quarantine_limit_of(wanted.dataset, wanted.institution)
        stops = [*_drift_stops(drift, policy), *_limit_stops(result, others, limit)]
        if others and silver.contract.write_mode == "fail":
            stops.append(f"the partition has rows of {len(others)} files already (`write_mode: fail`)")
    finally:
        ledger.close()
    return Outlook(counts, drift, policy, defects, tuple(stops), tuple(warnings))


def _sender(session: Session, target: PlanTarget) -> SenderFormat:
    institution = session.graph.institutions[target.partition.institution or ""]
    needed = set(institution.datasets[target.dataset].columns_from_key.values()) - target.captured.keys()
    if needed:
        raise ConfigurationError(
            f"file {target.key}",
            found=f"no {', '.join(sorted(needed))} in its key",
            expected=f"a key like {institution.pattern(target.dataset).text}, from which columns are filled",
            next_step="put the file under such a key in a landing folder, and plan that",
        )
    return sender_format(institution, target.dataset, target.captured)


def _drift_stops(drift: tuple[Difference, ...], policy: DriftPolicy) -> list[str]:
    if policy != "fail" or not drift:
        return []
    return [f"schema drift under `drift_policy: fail` ({len(drift)} differences)"]


def _limit_stops(result: Silver, others: list[LedgerObject], limit: float) -> list[str]:
    """The limit holds for the partition: the file counts together with those that are loaded already."""
    read = result.rows_read + sum(o.rows_read or 0 for o in others)
    quarantined = result.rows_quarantined + sum(o.rows_quarantined or 0 for o in others)
    share = quarantined / read if read else 0.0
    if share <= limit:
        return []
    beside = f" together with {len(others)} loaded files" if others else ""
    return [f"{share:.1%} of the partition's rows{beside} would be quarantined, limit {limit:.1%}"]


def _print(target: PlanTarget, outlook: Outlook, console: Console) -> None:
    counts = outlook.counts
    lines = {
        "file": target.uri,
        "dataset": target.dataset,
        "partition": str(target.partition),
        "verdict": outlook.verdict,
        "rows": f"{counts.rows_read:,} read = {counts.silver:,} silver + {counts.quarantined:,} quarantined "
        f"+ {counts.duplicates:,} duplicates",
        "drift": f"{len(outlook.drift) or 'no'} differences, policy {outlook.policy}",
        "values": "; ".join(outlook.warnings) or "nothing unusual against earlier dates",
        "partition stops": "; ".join(outlook.stops) + ": nothing of it would be published" if outlook.stops else "no",
    }
    if counts.refusal:
        lines["warehouse, gold"] = "would wait: every_file_is_readable fails"
    for name, text in lines.items():
        console.print(plain(f"{name:16} {text}"), highlight=False, soft_wrap=True)
    if outlook.drift:
        table = _table(*COLUMNS[4:], title="drift")
        for difference in outlook.drift:
            mark = "" if is_tolerated(difference, outlook.policy) else "!"
            change, *rest = cells(difference)
            table.add_row(f"{change}{mark}", *map(plain, rest))
        console.print(table)
    if counts.quarantined:
        shown = min(DEFECTS_SHOWN, outlook.defects.height)
        table = _table("line", "rule", "found", "raw", title=f"first {shown} of {counts.quarantined:,} defects")
        for row in _shown(outlook.defects).iter_rows():
            table.add_row(*map(plain, row))
        console.print(table)


def _table(*names: str, title: str) -> RichTable:
    table = RichTable(title=title, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _shown(defects: pl.DataFrame) -> pl.DataFrame:
    """`line`, `rule`, `found`, `raw` as text. What was found stands in the reason: a value, or a sentence."""
    values = pl.col("reason").str.extract_all(_FOUND).list.eval(pl.element().str.extract(_FOUND)).list.join(", ")
    sentence = pl.col("reason").str.replace(r"^\w+: ", "")
    return defects.select(
        line=pl.col("_source_row").cast(pl.String).fill_null(""),
        rule=pl.col("rules").list.join(", "),
        found=pl.when(values != "").then(values).otherwise(sentence),
        raw=pl.col("raw").fill_null("").str.slice(0, DEFECT_CHARACTERS),
    )

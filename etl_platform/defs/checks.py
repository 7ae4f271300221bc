"""Asset checks: what is stored, read back and held against its contract, per partition.

All checks of a table are one step, which reads once: what costs is events and steps, not rules. Those that block keep
warehouse and gold of that partition from being built. Not here: what each check says (`pipeline/silver_judges.py`,
`pipeline/gold_judges.py`).
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from etl_platform.contracts.check_names import CheckName
from etl_platform.contracts.contract import Contract
from etl_platform.defs.evaluations import latest_target, yielded
from etl_platform.defs.graph import Graph
from etl_platform.defs.step import RESOURCES, delivery_of, partition_of_step, platform_of, run_of
from etl_platform.defs.telling import check_results, failures_translated
from etl_platform.gold.table import GoldTable
from etl_platform.partitions import format_key
from etl_platform.pipeline.aggregate import judge_stored_gold
from etl_platform.pipeline.attempt import reported
from etl_platform.pipeline.checks import judge_delivery, record_checks
from etl_platform.pipeline.gold_judges import gold_checks
from etl_platform.pipeline.references import ACCOUNTS, TRANSACTIONS, judge_accounts
from etl_platform.pipeline.silver_judges import silver_checks

Evaluations = Iterator[dg.Output[None] | dg.AssetCheckEvaluation]


def build_silver_checks(contract: Contract, graph: Graph) -> dg.AssetChecksDefinition:
    """All checks of one dataset's silver asset, as one step."""
    dataset = contract.dataset
    silver = dg.AssetKey(["silver", dataset])
    checks = silver_checks(contract)
    blocking = {check.name: (check.sentence, check.blocks) for check in checks}

    @dg.multi_asset_check(
        name=f"silver_{dataset}_checks",
        specs=_specs(silver, blocking, graph.partitions.both),
        can_subset=True,
        required_resource_keys=set(RESOURCES),
    )
    def run_checks(context: dg.AssetCheckExecutionContext) -> Evaluations:
        run, platform, delivery = run_of(context, graph), platform_of(context, graph), delivery_of(context, dataset)
        selected = {key.name for key in context.selected_asset_check_keys}
        with failures_translated():
            with reported(platform.ledger, run.run_id, [delivery]):
                judged = judge_delivery(delivery, platform, selected)
            partition = format_key(delivery.partition)
            target = latest_target(context.instance, silver, partition)
            specs = run_checks.check_specs_by_output_name
            yield from yielded(specs, check_results(silver, judged.verdicts), partition, target)
            # A run of some checks alone says nothing about the whole partition.
            if selected == set(blocking):
                record_checks(run, [judged], graph.contract_of(dataset, delivery.institution), platform)

    return run_checks


def build_gold_checks(gold: GoldTable, graph: Graph) -> dg.AssetChecksDefinition:
    """All checks of one gold table, as one step."""
    asset = dg.AssetKey(["gold", gold.name])
    partitions = graph.partitions.date if gold.is_shared else graph.partitions.both

    @dg.multi_asset_check(
        name=f"gold_{gold.name}_checks",
        specs=_specs(asset, {name: (sentence, True) for name, sentence in gold_checks(gold).items()}, partitions),
        can_subset=True,
        required_resource_keys=set(RESOURCES),
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Evaluations:
        selected = {key.name for key in context.selected_asset_check_keys}
        partition = partition_of_step(context)
        with failures_translated():
            verdicts = judge_stored_gold(gold, partition, platform_of(context, graph).lake, graph)
        found = {name: verdict for name, verdict in verdicts.items() if name in selected}
        target = latest_target(context.instance, asset, format_key(partition))
        specs = checks.check_specs_by_output_name
        yield from yielded(specs, check_results(asset, found), format_key(partition), target)

    return checks


def build_accounts_check(graph: Graph) -> dg.AssetChecksDefinition:
    """`accounts_are_known` of `silver/transactions`.

    A step of its own: it waits for the other dataset where both are in one run, and a failure there must not keep the
    dataset itself from its own checks.
    """
    silver = dg.AssetKey(["silver", TRANSACTIONS])

    @dg.asset_check(
        name=CheckName.ACCOUNTS,
        asset=silver,
        description="Every account is in the institution's latest accounts snapshot on or before the date (warning).",
        blocking=False,
        additional_deps=[dg.AssetKey(["silver", ACCOUNTS])],
        partitions_def=graph.partitions.both,
        required_resource_keys=set(RESOURCES),
    )
    def accounts_are_known(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        with failures_translated():
            verdict = judge_accounts(delivery_of(context, TRANSACTIONS), platform_of(context, graph))
        (result,) = check_results(silver, {CheckName.ACCOUNTS: verdict})
        return result

    return accounts_are_known


def _specs(
    asset: dg.AssetKey, checks: Mapping[str, tuple[str, bool]], partitions: dg.PartitionsDefinition[str]
) -> list[dg.AssetCheckSpec]:
    """checks: name -> sentence, and whether a failure blocks."""
    return [
        dg.AssetCheckSpec(name=name, asset=asset, description=sentence, blocking=blocks, partitions_def=partitions)
        for name, (sentence, blocks) in checks.items()
    ]

"""`tables_across_institutions`: a date is run again when one of its institutions changed, and only that date."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar

OVERVIEW = dg.AssetKey(["gold", "market_overview"])
NEXT_DAY = DATE + dt.timedelta(days=1)


def evaluate(
    platform: Platform, instance: dg.DagsterInstance, cursor: object = None
) -> dg.EvaluateAutomationConditionsResult:
    return dg.evaluate_automation_conditions(
        platform.definitions,
        instance=instance,
        asset_selection=dg.AssetSelection.assets(OVERVIEW),
        cursor=cursor,  # type: ignore[arg-type]
    )


def test_exactly_the_touched_dates_are_requested_without_waiting_for_others(plain: Platform) -> None:
    instance = plain.instance
    first = evaluate(plain, instance)
    for date in (DATE, NEXT_DAY):
        plain.put(f"first/prices/{date}/a.csv", HEADER + bar("AAA", date=date))
        assert plain.ingest("first", date).succeeded  # `second` delivers nothing

    second = evaluate(plain, instance, first.cursor)

    assert second.get_requested_partitions(OVERVIEW) == {str(DATE), str(NEXT_DAY)}
    for date in (DATE, NEXT_DAY):
        assert plain.overview(date).succeeded
    third = evaluate(plain, instance, second.cursor)
    assert third.total_requested == 0


def test_a_restated_partition_requests_its_date_again(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    assert plain.ingest("first").succeeded and plain.overview().succeeded
    before = evaluate(plain, plain.instance)
    plain.put(f"second/prices/{DATE}/a.csv", HEADER + bar("BBB"))
    assert plain.ingest("second").succeeded

    after = evaluate(plain, plain.instance, before.cursor)

    assert after.get_requested_partitions(OVERVIEW) == {str(DATE)}


def test_bars_that_were_not_built_because_a_check_failed_request_nothing(plain: Platform) -> None:
    before = evaluate(plain, plain.instance)
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    plain.put(f"first/prices/{DATE}/empty.csv", "")
    assert not plain.ingest("first").succeeded

    assert evaluate(plain, plain.instance, before.cursor).total_requested == 0


def test_the_automation_sensor_and_the_landing_sensor_run_by_default(plain: Platform) -> None:
    sensors = {s.name: s for s in plain.definitions.get_repository_def().sensor_defs}
    assert set(sensors) >= {"new_landing_objects", "tables_across_institutions"}
    assert sensors["new_landing_objects"].default_status is dg.DefaultSensorStatus.RUNNING
    assert sensors["tables_across_institutions"].default_status is dg.DefaultSensorStatus.RUNNING
    # Deliveries come first: their dates would otherwise wait behind one run of this sensor for each date of a history.
    found = sensors["tables_across_institutions"]
    assert isinstance(found, dg.AutomationConditionSensorDefinition)
    assert found.run_tags == {"dagster/priority": "-1"}

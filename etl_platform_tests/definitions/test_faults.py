"""One tenant's mistake is one tenant's: the code location loads, says what is wrong, and runs the others."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from etl_platform.defs.assemble import build_defs, build_graph
from etl_platform.defs.due import Due
from etl_platform.defs.launching import run_requests
from etl_platform.errors import ConfigurationError
from etl_platform.landing.scan import scan_landing
from etl_platform.settings import Settings
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, dagster_instance, plain, plain_senders

__all__ = ["dagster_instance", "plain"]


def break_file(platform: Platform, code: str, text: str = "typo: x\n") -> Platform:
    """The same installation after somebody edited the file of `code`, with the code location loaded again."""
    folder = platform.settings.institutions_folder
    with (folder / f"{code}.yaml").open("a") as file:
        file.write(text)
    return Platform(platform.settings, platform.instance)


def spec(definitions: dg.Definitions, code: str) -> dg.AssetSpec:
    return next(s for s in definitions.resolve_all_asset_specs() if s.key == dg.AssetKey(["institution_file", code]))


def test_the_code_location_loads_without_the_faulty_one_and_shows_it(plain: Platform) -> None:
    definitions = break_file(plain, "second").definitions
    dg.Definitions.validate_loadable(definitions)
    fault = spec(definitions, "second")
    assert fault.group_name == "not_well"
    assert "second.yaml field typo: an unknown field" in (fault.description or "")
    assert "second.yaml field typo" in str(definitions.metadata["not_well/second.yaml"].value)
    graph = definitions.resolve_asset_graph()
    assert fault.key not in dg.AssetSelection.all().resolve(graph)


def test_a_sound_installation_has_no_such_assets(plain: Platform) -> None:
    keys = {s.key.path[0] for s in plain.definitions.resolve_all_asset_specs()}
    assert "institution_file" not in keys
    assert plain.definitions.metadata == {} and plain.graph.faults == ()


def test_the_others_run_and_what_is_pending_for_the_faulty_one_waits(plain: Platform) -> None:
    for code in ("first", "second"):
        plain.put(f"{code}/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    scan_landing(plain.landing, plain.ledger, None, max_new=100, max_seconds=60)
    broken = break_file(plain, "second")

    requests = run_requests(Due(broken.ledger.pending_partitions(100), []), broken.graph, broken.ledger)

    assert [request.partition_key for request, _ in requests.values()] == [f"{DATE}|first"]
    assert broken.ingest("first").succeeded
    assert {item.partition.institution for item in broken.ledger.pending_partitions(100)} == {"second"}
    plain_senders(plain.settings.institutions_folder, "second")
    corrected = Platform(plain.settings, plain.instance)
    assert corrected.ingest("second").succeeded and not corrected.ledger.pending_partitions(100)


def test_what_a_faulty_one_has_stays_in_the_market_overview(plain: Platform) -> None:
    for code in ("first", "second"):
        plain.put(f"{code}/prices/{DATE}/a.csv", HEADER + bar("AAA"))
        assert plain.ingest(code).succeeded
    broken = break_file(plain, "second")
    assert broken.graph.partitions.institution.get_partition_keys() == ["first", "second"]
    assert broken.overview().succeeded
    assert broken.table("gold", "market_overview", None)["institutions"].to_list() == [2]


def test_a_run_that_somebody_starts_for_it_says_what_is_wrong(plain: Platform) -> None:
    plain.put(f"second/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    failed = break_file(plain, "second").run_job("ingest", f"{DATE}|second")
    assert not failed.succeeded
    assert any("institution 'second': out of use: " in text for text in failed.failures.values())


def test_missing_credentials_take_out_their_institution_only(plain: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = break_file(plain, "second", "landing: s3://bucket/in\ncredentials: ACME\n")
    assert list(broken.graph.institutions) == ["first"]
    (fault,) = broken.graph.faults
    assert "second.yaml field credentials: ACME_AWS_ACCESS_KEY_ID, ACME_AWS_SECRET_ACCESS_KEY not set" in fault.message
    assert [root.institutions for root in broken.landing.roots] == [("first",)]
    monkeypatch.setenv("ACME_AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("ACME_AWS_SECRET_ACCESS_KEY", "secret")
    assert list(build_graph(plain.settings).institutions) == ["first", "second"]


@pytest.mark.parametrize("landing", ["s3://key:secret@bucket", "file://host/folder", "gs://bucket"])
def test_a_landing_root_that_is_refused_takes_out_its_institution_only(plain: Platform, landing: str) -> None:
    broken = break_file(plain, "second", f"landing: {landing}\n")
    assert list(broken.graph.institutions) == ["first"]
    (fault,) = broken.graph.faults
    assert "field landing" in fault.message and "secret" not in fault.message


def test_a_platform_without_any_institution_loads_too(tmp_path: Path) -> None:
    folder = plain_senders(tmp_path / "institutions", "only", "Not a code", settings="typo: x")
    settings = Settings(home=tmp_path / "home", institutions_path=folder)
    dg.Definitions.validate_loadable(build_defs(settings))
    (folder / "only.yaml").unlink()
    definitions = build_defs(settings)
    dg.Definitions.validate_loadable(definitions)
    assert spec(definitions, "Not_a_code").description
    assert build_graph(settings).partitions.both.get_partition_keys() == []


def test_a_folder_that_is_none_stays_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        build_graph(Settings(home=tmp_path, institutions_path=tmp_path / "absent"))


@pytest.mark.parametrize(
    ("broken", "key", "is_its"),
    [
        ("code: [", f"second/prices/{DATE}/a.csv", True), ("code: [", "second/whatever", True),
        ("code: [", "second", False), ("code: [", f"second_2/prices/{DATE}/a.csv", False),
        ("code: [", f"in/{DATE}/a.csv", False), ("code: [", f"first/unknown/{DATE}/a.csv", False),
        # What can still be read of its patterns counts, too.
        ("code: deux\nkey_pattern: 'in/{date:%Y-%m-%d}/...'\ndatasets: {prices: {}}\n", f"in/{DATE}/a.csv", True),
        ("code: deux\ndatasets: {prices: {key_pattern: 'in/{date:%Y-%m-%d}.csv'}, x: 1}\n", f"in/{DATE}.csv", True),
        ("code: deux\nkey_pattern: [1]\ndatasets: {prices: {}}\n", f"in/{DATE}/a.csv", False),
        ("code: deux\ndatasets: [prices]\n", f"deux/prices/{DATE}/a.csv", True),
    ],
)  # fmt: skip
def test_keys_that_only_a_faulty_institution_would_claim_are_told(
    plain: Platform, broken: str, key: str, is_its: bool
) -> None:
    assert not plain.graph.is_of_faulty(key)
    (plain.settings.institutions_folder / "second.yaml").write_text(broken)
    assert build_graph(plain.settings).is_of_faulty(key) == is_its


def test_keys_of_two_that_clash_are_told_and_those_of_a_good_one_with_the_name_of_a_file_are_not(
    plain: Platform,
) -> None:
    folder = plain.settings.institutions_folder
    both = plain_senders(folder, "third", "fourth", settings="key_pattern: 'in/{date:%Y-%m-%d}/...'")
    graph = build_graph(plain.settings)
    assert list(graph.institutions) == ["first", "second"]
    assert graph.is_of_faulty(f"in/{DATE}/a.csv")
    for path in both.glob("*rth.yaml"):
        path.unlink()
    (folder / "third.yaml").unlink()
    (folder / "renamed.yaml").write_text((folder / "first.yaml").read_text())
    (folder / "first.yaml").write_text("code: [")
    graph = build_graph(plain.settings)
    assert "first" in graph.institutions and not graph.is_of_faulty(f"first/unknown/{DATE}/a.csv")

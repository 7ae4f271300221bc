"""Two institutions that cannot both be right are both out, each with the other named; the rest loads."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.clashes import Candidate, find_clashes
from etl_platform.institutions.faults import Tenants
from etl_platform.institutions.loader import load_institutions
from etl_platform.institutions.model import Institution

DEFAULT = "{institution}/{dataset}/{date:%Y-%m-%d}/..."


def write(folder: Path, name: str, code: str, more: str = "") -> None:
    (folder / name).write_text(f"code: {code}\nname: {code}\ndatasets: {{prices: {{}}}}\n{more}\n")


def load(folder: Path) -> Tenants:
    return load_institutions(folder, BUILT_IN)


def said(tenants: Tenants) -> dict[str, str]:
    return {fault.path.name: fault.message for fault in tenants.faults}


def test_of_two_files_with_one_code_neither_loads(tmp_path: Path) -> None:
    for name, code in (("a.yaml", "acme"), ("b.yml", "acme"), ("c.yaml", "bolt")):
        write(tmp_path, name, code)
    tenants = load(tmp_path)
    assert list(tenants) == ["bolt"]
    assert [fault.institution for fault in tenants.faults] == ["acme", "acme"]
    assert (
        "a.yaml field code: 'acme', also in b.yml; expected a code of its own; next step: " in said(tenants)["a.yaml"]
    )
    assert "'acme', also in a.yaml" in said(tenants)["b.yml"]
    with pytest.raises(ConfigurationError, match=r"also in b\.yml.* \| .*also in a\.yaml"):
        tenants["acme"]


def test_a_code_is_taken_by_a_file_with_another_mistake_too(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "acme")
    write(tmp_path, "b.yaml", "acme", "tme_zone: UTC")
    tenants = load(tmp_path)
    assert dict(tenants) == {}
    assert "also in b.yaml" in said(tenants)["a.yaml"] and "time_zone" in said(tenants)["b.yaml"]


def test_of_two_institutions_with_one_schema_neither_loads(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "acme")
    write(tmp_path, "b.yaml", "bolt", "warehouse_schema: acme")
    write(tmp_path, "c.yaml", "core")
    tenants = load(tmp_path)
    assert list(tenants) == ["core"]
    assert "field warehouse_schema: 'acme', also that of bolt (b.yaml)" in said(tenants)["a.yaml"]
    assert "field warehouse_schema: 'acme', also that of acme (a.yaml)" in said(tenants)["b.yaml"]


def test_one_root_takes_one_pair_of_credentials(tmp_path: Path) -> None:
    for code, pair in (("acme", "ONE"), ("bolt", "TWO"), ("core", "ONE"), ("dune", "ONE")):
        root = "s3://shared/drop" if code != "dune" else "s3://dune/drop"
        write(tmp_path, f"{code}.yaml", code, f"landing: {root}\ncredentials: {pair}")
    tenants = load(tmp_path)
    assert list(tenants) == ["dune"]
    assert "with other credentials than bolt (bolt.yaml)" in said(tenants)["acme.yaml"]
    assert "with other credentials than acme (acme.yaml), core (core.yaml)" in said(tenants)["bolt.yaml"]


def test_who_names_the_platforms_root_with_other_credentials_is_out_alone(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "acme")
    write(tmp_path, "b.yaml", "bolt", "landing: s3://platform/in\ncredentials: TWO")
    tenants = load_institutions(tmp_path, BUILT_IN, lambda i: i.landing or "s3://platform/in")
    assert list(tenants) == ["acme"]
    assert "than the platform (ETL_LANDING)" in said(tenants)["b.yaml"]


def candidate(code: str, pattern: str = DEFAULT, dataset: str = "prices", root: str = "") -> Candidate:
    fields = {"code": code, "name": code, "key_pattern": pattern, "datasets": {dataset: {}}}
    return Candidate(Path(f"{code}.yaml"), Institution.model_validate(fields), root)


CLASHING = {
    "the same text": ("drop/{date:%Y-%m-%d}/...", "drop/{date:%Y-%m-%d}/..."),
    "another's code spelt out": (DEFAULT, "a/{dataset}/{date:%Y-%m-%d}/..."),
    "any first part": (DEFAULT, "{desk}/{dataset}/{date:%Y-%m-%d}/{file}.csv"),
    "any name": ("in/{date:%Y%m%d}/{name}.csv", "in/{date:%Y%m%d}/b_{name}.csv"),
    "deeper in the tail": (DEFAULT, "{x}/{y}/{date:%Y-%m-%d}/{z}/{file}.json.gz"),
    "names like those of Python": ("{self}/{date:%Y%m%d}/...", "in/{date:%Y%m%d}/{self}{file}"),
    "an ending of a captured name": ("in/{date:%Y%m%d}/{name}", "in/{date:%Y%m%d}/{name}.csv"),
    "day and month change places": ("in/{date:%Y-%m-%d}.csv", "in/{date:%Y-%d-%m}.csv"),
}


@pytest.mark.parametrize("case", CLASHING)
def test_patterns_that_take_each_others_keys_put_both_out(case: str) -> None:
    one, other = CLASHING[case]
    pair = [candidate("a", one), candidate("b", other)]
    for order in (pair, pair[::-1]):
        found = find_clashes(order)
        assert set(found) == {Path("a.yaml"), Path("b.yaml")}
        assert "b (b.yaml) takes as prices, e.g. " in found[Path("a.yaml")].found
        assert "a (a.yaml) takes as prices, e.g. " in found[Path("b.yaml")].found


APART = {
    "defaults": (DEFAULT, DEFAULT),
    "a code that begins another": (DEFAULT, "ab/{dataset}/{date:%Y-%m-%d}/..."),
    "other endings": ("in/{date:%Y%m%d}/{name}.csv", "in/{date:%Y%m%d}/{name}.json"),
    "other dates": ("in/{date:%Y%m%d}/...", "in/{date:%Y-%m-%d}/..."),
    "other depths": ("in/{date:%Y%m%d}/{name}.csv", "in/{date:%Y%m%d}/{desk}/{name}.csv"),
    "years and days that no date has": ("in/{date:%Y%m%d}.csv", "in/{date:%d%m%Y}.csv"),
}


@pytest.mark.parametrize("case", APART)
def test_patterns_that_share_no_key_are_left_alone(case: str) -> None:
    one, other = APART[case]
    assert find_clashes([candidate("a", one), candidate("b", other)]) == {}


def test_patterns_of_other_datasets_and_other_roots_share_no_key() -> None:
    pattern = "in/{dataset}/{date:%Y-%m-%d}/..."
    assert find_clashes([candidate("a", pattern), candidate("b", pattern, "transactions")]) == {}
    assert find_clashes([candidate("a", pattern, root="s3://a"), candidate("b", pattern, root="s3://b")]) == {}


def test_hundreds_of_institutions_are_compared_in_no_time() -> None:
    many = [candidate(f"i{n}") for n in range(500)]
    started = time.process_time()
    assert find_clashes(many) == {}
    assert time.process_time() - started < 1.0
    assert len(find_clashes([*many[:100], candidate("b", "{any}/prices/{date:%Y-%m-%d}/...")])) == 101

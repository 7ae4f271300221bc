"""Institution files: what is wrong is told by file, field, found and expected, and takes out that institution alone; a
new file is a new institution."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from textwrap import dedent

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.contracts import BUILT_IN
from etl_platform.errors import ConfigurationError, UnknownNameError
from etl_platform.institutions.faults import Fault, Tenants
from etl_platform.institutions.file_format import sender_format
from etl_platform.institutions.loader import bind_contract, load_institutions
from etl_platform.institutions.model import Institution
from etl_platform.transforms.casts import Dialect

GOOD = """\
code: acme
name: Acme
datasets:
  prices: {}
"""
KEYED = """\
code: acme
name: Acme
datasets:
  prices:
    key_pattern: "{institution}/{dataset}/{date:%Y%m%d}/{symbol}.csv"
    columns_from_key: {symbol: ticker}
"""


def load(folder: Path, text: str, name: str = "acme.yaml") -> Tenants:
    (folder / name).write_text(dedent(text), encoding="utf-8")
    return load_institutions(folder, BUILT_IN)


def only_fault(tenants: Tenants) -> Fault:
    (fault,) = tenants.faults
    return fault


def prices(line: str) -> str:
    return f"code: acme\nname: Acme\ndatasets:\n  prices: {{{line}}}\n"


def test_the_smallest_file_is_an_institution_with_sensible_defaults(tmp_path: Path) -> None:
    acme = load(tmp_path, GOOD)["acme"]
    assert (acme.time_zone, acme.schema_name, acme.landing, acme.drift_policy) == ("UTC", "acme", None, "warn")
    assert acme.pattern("prices").text == "{institution}/{dataset}/{date:%Y-%m-%d}/..."
    assert acme.largest_quarantined_share("prices") == 0.10
    assert acme.datasets["prices"].format.type == "csv"


def test_adding_a_file_adds_an_institution(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    toml = """
        code = "bolt"
        name = "Bolt"
        time_zone = "Asia/Tokyo"
        [datasets.prices]
        columns = { ticker = "symbol" }
        format = { type = "json", layout = "lines" }
        """
    (tmp_path / "README.md").write_text("not an institution")
    both = load(tmp_path, toml, "a_first_by_name.toml")
    assert list(both) == ["acme", "bolt"]
    assert both["bolt"].datasets["prices"].columns == {"ticker": "symbol"}


WRONG: dict[str, tuple[str, str, str, str]] = {
    "unknown field": (GOOD + "time_zon: UTC\n", "time_zon", "an unknown field", "time_zone"),
    "unknown nested field": (prices("number: {decimal: ','}"), "datasets.prices.number", "an unknown field", "numbers"),
    "missing field": ("code: acme\ndatasets: {prices: {}}\n", "name", "", "Field required"),
    "no dataset": ("code: acme\nname: Acme\ndatasets: {}\n", "datasets", "{}", "at least 1"),
    "hostile code": (GOOD.replace("acme", "'a\"; drop'"), "code", "'a\"; drop'", "lower-case letters"),
    "reserved code": (GOOD.replace("code: acme", "code: public"), "code", "'public'", "a schema of its own"),
    "reserved schema": (GOOD + "warehouse_schema: pg_x\n", "warehouse_schema", "'pg_x'", "a schema of its own"),
    "shared schema": (GOOD + "warehouse_schema: shared\n", "warehouse_schema", "'shared'", "a schema of its own"),
    "bad zone": (GOOD + "time_zone: Mars/Base\n", "time_zone", "'Mars/Base'", "Europe/Zurich"),
    "zone of the machine": (GOOD + "time_zone: localtime\n", "time_zone", "'localtime'", "IANA"),
    "bad landing": (GOOD + "landing: gs://x\n", "landing", "'gs://x'", "s3://bucket/prefix"),
    "bad credentials": (GOOD + "credentials: lower\n", "credentials", "'lower'", "pattern"),
    "share above one": (GOOD + "quality: {largest_quarantined_share: 10}\n", "quality.largest", "10", "1"),
    "bad policy": (GOOD + "drift_policy: explode\n", "drift_policy", "'explode'", "'ignore', 'warn', 'add' or 'fail'"),
    "no batch": (GOOD + "batch_rows: 0\n", "batch_rows", "0", "1"),
    "no date": (GOOD + "key_pattern: '{institution}/...'\n", "key_pattern", "{institution}/...", "{date:FORMAT}"),
    "unknown dataset": (GOOD.replace("prices", "price"), "datasets.price", "no such dataset", "prices"),
    "unknown column": (prices("columns: {Kurs: clos}"), "datasets.prices.columns", "column 'clos'", "close"),
    "unknown constant": (prices("constants: {simbol: X}"), "datasets.prices.constants", "column 'simbol'", "symbol"),
    "name not captured": (KEYED, "(file)", "ticker", "captures"),
    "two sources": (
        KEYED.replace("ticker", "symbol") + "    constants: {symbol: X}\n", "datasets.prices", "symbol", "one of them",
    ),
    "unknown parameter": (
        prices("parameters: {symbol_patern: x}"), "datasets.prices.parameters", "'symbol_patern'", "symbol_pattern",
    ),
    "parameter of another type": (
        prices("parameters: {clock_skew_minutes: '5'}"), "datasets.prices.parameters", "'5' (str)", "like 5",
    ),
    "bound that bounds nothing": (
        "code: a\nname: A\ndatasets: {technical_indicators: {parameters: {histogram_tolerance: .nan}}}\n",
        "datasets.technical_indicators.parameters", "nan", "rules take",
    ),
    "pattern that is none": (
        prices("parameters: {symbol_pattern: '['}"), "datasets.prices.parameters", "regex", "rules take",
    ),
    "look-around": (
        prices("parameters: {symbol_pattern: '(?=a)'}"), "datasets.prices.parameters", "look-around", "rules take",
    ),
    "zone parameter": (
        prices("parameters: {time_zone: Mars/Base}"), "datasets.prices.parameters", "Mars/Base", "rules take",
    ),
    "same marks": (prices("numbers: {decimal: ',', thousands: ','}"), "datasets.prices", "','", "two different"),
    "digit as mark": (prices("numbers: {decimal: '1'}"), "datasets.prices.numbers", "'1'", "no letter, digit or sign"),
    "long mark": (prices("numbers: {decimal: '..'}"), "datasets.prices.numbers.decimal", "'..'", "1 character"),
    "time format": (prices("times: {formats: ['%d.%m']}"), "datasets.prices.times", "'%d.%m'", "year, month and day"),
    "two readings": (
        prices("times: {date_formats: ['%d/%m/%Y', '%m/%d/%Y']}"), "datasets.prices.times", "'%d/%m/%Y'", "one of them",
    ),
    "bad encoding": (prices("format: {type: csv, encoding: utf8000}"), "datasets.prices", "'utf8000'", "utf-8"),
    "no text encoding": (prices("format: {type: csv, encoding: base64}"), "datasets.prices", "'base64'", "utf-8"),
    "bad format": (prices("format: {type: xls}"), "datasets.prices.format", "xls", "'csv', 'json', 'parquet'"),
    "long delimiter": (prices("format: {type: csv, delimiter: '||'}"), "datasets.prices.format", "'||'", "1"),
    "no header, no names": (prices("format: {type: csv, header: false}"), "datasets.prices", "header", "names"),
    "duplicate key": (GOOD + "name: Again\n", "", "'name' twice", "valid YAML"),
    "duplicate nested key": (prices("columns: {a: open, a: close}"), "", "'a' twice", "valid YAML"),
    "broken YAML": ("code: [", "", "line", "valid YAML"),
    "a list": ("- code: acme\n", "", "list", "a mapping of fields"),
    "nothing": ("", "", "NoneType", "a mapping of fields"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_every_mistake_names_file_field_found_and_expected_and_takes_out_its_institution_alone(
    tmp_path: Path, case: str
) -> None:
    text, field, found, expected = WRONG[case]
    load(tmp_path, GOOD.replace("acme", "zeta"), "zeta.yaml")
    tenants = load(tmp_path, text)
    fault = only_fault(tenants)
    assert list(tenants) == ["zeta"]
    assert fault.path == tmp_path / "acme.yaml"
    assert fault.message.startswith(f"{tmp_path / 'acme.yaml'}")
    assert field in fault.message and found in fault.message and expected in fault.message
    assert "next step: correct the file and reload the code location" in fault.message
    assert fault.message.count("\n") == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (GOOD.replace("acme", "bolt") + "zone: UTC\n", "bolt"),
        (GOOD.replace("code: acme", "code: public"), "public"),
        ("code: bolt\nname: [", "acme"), ("code: 'a b'\n", "acme"), ("code: [bolt]\n", "acme"), ("- bolt\n", "acme"),
    ],
)  # fmt: skip
def test_a_fault_is_known_by_its_code_or_else_by_the_name_of_its_file(tmp_path: Path, text: str, code: str) -> None:
    tenants = load(tmp_path, text)
    assert only_fault(tenants).institution == code
    with pytest.raises(ConfigurationError, match=rf"institution '{code}': out of use: .*acme\.yaml"):
        tenants[code]
    with pytest.raises(KeyError):
        tenants["stranger"]
    assert code not in tenants and tenants.get(code) is None


def test_what_our_own_checks_trip_over_is_still_one_tenants(tmp_path: Path) -> None:
    load(tmp_path, GOOD.replace("acme", "zeta"), "zeta.yaml")

    def root_of(institution: Institution) -> str:
        if institution.code == "acme":
            raise ZeroDivisionError("a bug")
        return ""

    (tmp_path / "acme.yaml").write_text(GOOD)
    tenants = load_institutions(tmp_path, BUILT_IN, root_of)
    assert list(tenants) == ["zeta"]
    assert "ZeroDivisionError: a bug" in only_fault(tenants).message


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=2),
    max_leaves=6,
)
documents = st.fixed_dictionaries(
    {"code": st.just("acme") | values, "name": st.just("Acme") | values},
    optional={name: values for name in (*Institution.model_fields, "typo") if name not in ("code", "name")},
)


@given(st.binary(max_size=80) | documents.map(lambda document: yaml.safe_dump(document).encode()))
@hypothesis.settings(max_examples=200)
def test_whatever_a_file_holds_the_others_load(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        load(Path(folder), GOOD.replace("acme", "zeta"), "zeta.yaml")
        (Path(folder) / "acme.yaml").write_bytes(body)
        tenants = load_institutions(Path(folder), BUILT_IN)
    assert "zeta" in tenants
    assert len(tenants) + len(tenants.faults) == 2
    assert all(fault.message.count("\n") == 0 and "next step" in fault.message for fault in tenants.faults)


def test_a_date_pattern_that_serves_several_datasets_must_name_them(tmp_path: Path) -> None:
    text = GOOD + "  transactions: {}\nkey_pattern: '{institution}/{date:%Y%m%d}/...'\n"
    assert "dataset" in only_fault(load(tmp_path, text)).message


def test_a_pattern_whose_objects_would_all_be_markers_is_refused(tmp_path: Path) -> None:
    text = GOOD + "key_pattern: '{institution}/_in/{dataset}/{date:%Y%m%d}/...'\n"
    assert "part '_in' in" in only_fault(load(tmp_path, text)).message


def test_files_that_cannot_be_read_are_named_and_the_others_load(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    load(tmp_path, "code = ", "bolt.toml")
    (tmp_path / "latin.yaml").write_bytes("code: latin\nname: Zürich\n".encode("latin-1"))
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    load(tmp_path, "code: " + "[" * 100_000, "nested.yaml")
    tenants = load_institutions(tmp_path, BUILT_IN)
    assert list(tenants) == ["acme"]
    messages = {fault.institution: fault.message for fault in tenants.faults}
    assert sorted(messages) == ["bolt", "folder", "gone", "latin", "nested"]
    assert "TOML" in messages["bolt"] and "utf-8" in messages["latin"]
    assert "Is a directory" in messages["folder"] and "No such file" in messages["gone"]


def test_a_folder_without_institutions_is_an_error_and_no_empty_platform(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no institution file"):
        load_institutions(tmp_path, BUILT_IN)
    with pytest.raises(ConfigurationError, match="no such folder"):
        load_institutions(tmp_path / "absent", BUILT_IN)


def test_a_folder_whose_files_are_all_broken_has_faults_and_no_institution(tmp_path: Path) -> None:
    tenants = load(tmp_path, "code: [")
    assert dict(tenants) == {} and only_fault(tenants).institution == "acme"


def test_parameters_and_zone_reach_the_rules_of_that_institution_alone(tmp_path: Path) -> None:
    text = GOOD.replace("{}", "{parameters: {symbol_pattern: '^X$', clock_skew_minutes: 1}}")
    acme = load(tmp_path, text + "time_zone: Asia/Tokyo\n")["acme"]
    bound = bind_contract(BUILT_IN["prices"], acme)
    assert bound.parameters == {
        "symbol_pattern": "^X$",
        "clock_skew_minutes": 1,
        "time_zone": "Asia/Tokyo",
        "business_date_tolerance_hours": 12,
    }
    assert BUILT_IN["prices"].parameters["symbol_pattern"] == "^[A-Z]{1,5}$"
    with pytest.raises(UnknownNameError, match="symbol_pattern"):
        BUILT_IN["prices"].bind({"symbol_patern": "x"})


def test_a_root_has_one_spelling(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + "landing: s3://bucket/in/\n")["acme"].landing == "s3://bucket/in"


def test_a_sender_format_says_all_that_the_file_does_not(tmp_path: Path) -> None:
    text = KEYED.replace("ticker", "symbol") + (
        "    numbers: {decimal: ',', thousands: '.'}\n"
        "    times: {formats: ['%d.%m.%Y %H:%M'], date_formats: ['%d.%m.%Y'], time_zone: Asia/Tokyo}\n"
        "    constants: {volume: '1'}\n    columns: {Kurs: close}\n    null_texts: [NULL, '-']\n".replace(
            "NULL", "'NULL'"
        )
    )
    acme = load(tmp_path, text)["acme"]
    match = acme.pattern("prices").match("acme/prices/20250115/AAPL.csv", "acme", "prices")
    assert match is not None and match.business_date == dt.date(2025, 1, 15)
    sender = sender_format(acme, "prices", match.captured)
    assert sender.dialect == Dialect(",", ".", ("%d.%m.%Y %H:%M",), ("%d.%m.%Y",), "Asia/Tokyo")
    assert sender.supplied == {"symbol": "AAPL", "volume": "1"}
    assert (sender.columns, sender.null_texts) == ({"Kurs": "close"}, ("NULL", "-"))

"""Institution files: what is wrong is told by file, field, found and expected; a new file is a new institution."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from textwrap import dedent

import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.errors import ConfigurationError, UnknownNameError
from etl_platform.institutions.loader import bind_contract, load_institutions
from etl_platform.institutions.model import Institution
from etl_platform.institutions.sender import sender_format
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


def load(folder: Path, text: str, name: str = "acme.yaml") -> dict[str, Institution]:
    (folder / name).write_text(dedent(text), encoding="utf-8")
    return load_institutions(folder, BUILT_IN)


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
def test_every_mistake_names_file_field_found_and_expected(tmp_path: Path, case: str) -> None:
    text, field, found, expected = WRONG[case]
    with pytest.raises(ConfigurationError) as failure:
        load(tmp_path, text)
    error = failure.value
    assert str(tmp_path / "acme.yaml") in error.subject
    assert field in error.subject
    # What was expected may stand in what a contract itself said.
    assert found in error.found
    assert expected in f"{error.found} {error.expected}"
    assert str(error).count("\n") == 0


def test_a_date_pattern_that_serves_several_datasets_must_name_them(tmp_path: Path) -> None:
    text = GOOD + "  transactions: {}\nkey_pattern: '{institution}/{date:%Y%m%d}/...'\n"
    with pytest.raises(ConfigurationError, match="dataset"):
        load(tmp_path, text)


def test_broken_toml_and_foreign_bytes_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"acme\.toml.*TOML"):
        load(tmp_path, "code = ", "acme.toml")
    (tmp_path / "acme.toml").unlink()
    (tmp_path / "latin.yaml").write_bytes("code: acme\nname: Zürich\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"latin\.yaml.*utf-8"):
        load_institutions(tmp_path, BUILT_IN)


def test_a_code_and_a_schema_belong_to_one_file_each(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    with pytest.raises(ConfigurationError, match=r"b\.yml field code: .*'acme', also in acme\.yaml"):
        load(tmp_path, GOOD, "b.yml")
    with pytest.raises(ConfigurationError, match=r"b\.yml field warehouse_schema: .*'acme', which belongs to acme"):
        load(tmp_path, GOOD.replace("code: acme", "code: bolt") + "warehouse_schema: acme\n", "b.yml")


def test_a_folder_without_institutions_is_an_error_and_no_empty_platform(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no institution file"):
        load_institutions(tmp_path, BUILT_IN)
    with pytest.raises(ConfigurationError, match="no such folder"):
        load_institutions(tmp_path / "absent", BUILT_IN)


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

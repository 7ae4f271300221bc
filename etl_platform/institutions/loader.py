"""Reads institution files (`*.yaml`, `*.yml`, `*.toml`) of one folder.

Every mistake names file, field, found and expected.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from etl_platform.contracts.contract import Contract
from etl_platform.errors import ConfigurationError, EtlError, UnknownNameError
from etl_platform.institutions.model import Institution

BUILT_IN = Path(__file__).parent


class _UniqueKeyLoader(yaml.SafeLoader):
    """A key written twice in one mapping is a mistake, not "the last one wins"."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_document(path: Path) -> Any:
    """The parsed YAML or TOML file. Raises ConfigurationError naming file and line."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            return tomllib.loads(text)
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), found=" ".join(str(error).split()), expected="valid YAML or TOML") from None


def load_institutions(folder: Path, contracts: Mapping[str, Contract]) -> dict[str, Institution]:
    """All institutions of `folder` by code, sorted. Datasets, columns and parameters are checked against `contracts`.

    Raises ConfigurationError (file, field, found, expected); a folder without any institution is one too.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"institutions folder {folder}", found="no such folder", next_step="set ETL_INSTITUTIONS_PATH"
        )
    institutions: dict[str, Institution] = {}
    origin: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".yaml", ".yml", ".toml"}):
        institution = _parse(path)
        if institution.code in institutions:
            raise ConfigurationError(
                f"{path} field code",
                found=f"{institution.code!r}, also in {origin[institution.code].name}",
                expected="a code of its own",
            )
        _check_against_contracts(path, institution, contracts)
        institutions[institution.code], origin[institution.code] = institution, path
    if not institutions:
        raise ConfigurationError(
            f"institutions folder {folder}", found="no institution file", expected="*.yaml or *.toml"
        )
    _schemas_are_unique(institutions, origin)
    return dict(sorted(institutions.items()))


def _parse(path: Path) -> Institution:
    document = read_document(path)
    if not isinstance(document, dict):
        raise ConfigurationError(str(path), found=type(document).__name__, expected="a mapping of fields")
    try:
        return Institution.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(file)"
        found = "an unknown field" if first["type"] == "extra_forbidden" else f"{first['input']!r:.80}"
        expected = _near_fields(str(first["loc"][-1])) if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigurationError(f"{path} field {field}", found=found, expected=expected) from None


def _near_fields(name: str) -> str:
    from etl_platform.institutions import model

    known = {
        f
        for cls in (model.Institution, model.DatasetConfig, model.QualityLimits, model.TimeFormat, model.NumberFormat)
        for f in cls.model_fields
    }
    return " or ".join(difflib.get_close_matches(name, known, n=3)) or f"one of {', '.join(sorted(known))}"


def _check_against_contracts(path: Path, institution: Institution, contracts: Mapping[str, Contract]) -> None:
    for dataset, config in institution.datasets.items():
        field = f"{path} field datasets.{dataset}"
        if dataset not in contracts:
            near = difflib.get_close_matches(dataset, contracts, n=3) or sorted(contracts)
            raise UnknownNameError(field, found="no such dataset", expected=" or ".join(near))
        names = {c.name for c in contracts[dataset].columns}
        for part in ("columns", "columns_from_key", "constants"):
            mapping: dict[str, str] = getattr(config, part)
            targets = mapping.values() if part == "columns" else mapping.keys()
            for target in targets:
                if target not in names:
                    near = difflib.get_close_matches(target, names, n=3) or sorted(names)
                    raise UnknownNameError(f"{field}.{part}", found=f"column {target!r}", expected=" or ".join(near))
        try:
            bind_contract(contracts[dataset], institution)
        except EtlError as error:
            raise ConfigurationError(f"{field}.parameters", found=str(error)) from None


def bind_contract(contract: Contract, institution: Institution) -> Contract:
    """`contract` with the parameters of `institution`; its time zone only where the contract asks for one."""
    parameters = institution.contract_parameters(contract.dataset)
    if "time_zone" not in contract.parameters:
        parameters.pop("time_zone", None)
    return contract.bind(parameters)


def _schemas_are_unique(institutions: Mapping[str, Institution], origin: Mapping[str, Path]) -> None:
    owner: dict[str, str] = {"shared": "the tables across institutions"}
    for code, institution in institutions.items():
        if institution.schema_name in owner:
            raise ConfigurationError(
                f"{origin[code]} field warehouse_schema",
                found=f"{institution.schema_name!r}, which belongs to {owner[institution.schema_name]}",
                expected="a schema of its own: tenants never share one",
            )
        owner[institution.schema_name] = code

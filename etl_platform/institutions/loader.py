"""Reads institution files (`*.yaml`, `*.yml`, `*.toml`) of one folder.

Every mistake names file, field, found and expected.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.document import document_paths, parse_document
from etl_platform.errors import ConfigurationError, EtlError, UnknownNameError
from etl_platform.institutions.model import Institution
from etl_platform.transforms.validate import find_failures

BUILT_IN = Path(__file__).parent


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
    for path in document_paths(folder):
        institution = parse_document(path, Institution)
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


def _check_against_contracts(path: Path, institution: Institution, contracts: Mapping[str, Contract]) -> None:
    for dataset, config in institution.datasets.items():
        field = f"{path} field datasets.{dataset}"
        if dataset not in contracts:
            near = difflib.get_close_matches(dataset, contracts, n=3) or sorted(contracts)
            raise UnknownNameError(field, found="no such dataset", expected=" or ".join(near))
        names = {c.name for c in contracts[dataset].sender_columns}
        for part in ("columns", "columns_from_key", "constants"):
            mapping: dict[str, str] = getattr(config, part)
            targets = mapping.values() if part == "columns" else mapping.keys()
            for target in targets:
                if target not in names:
                    near = difflib.get_close_matches(target, names, n=3) or sorted(names)
                    raise UnknownNameError(f"{field}.{part}", found=f"column {target!r}", expected=" or ".join(near))
        try:
            if config.parameters:  # without any, the contract's own defaults hold: nothing to try
                _try_rules(bind_contract(contracts[dataset], institution))
        except (EtlError, pl.exceptions.PolarsError) as error:
            found = " ".join(str(error).split("This error occurred")[0].split())
            raise ConfigurationError(
                f"{field}.parameters", found=found, expected="values that its rules take"
            ) from None


def _try_rules(contract: Contract) -> None:
    """Every rule on one row of nulls: a pattern that is no pattern would otherwise end the first run."""
    find_failures(contract.silver.empty().clear(1), contract)


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

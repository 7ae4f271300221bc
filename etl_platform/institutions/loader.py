"""Reads institution files (`*.yaml`, `*.yml`, `*.toml`) of one folder.

Every mistake names file, field, found and expected, and takes out its own institution only.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.document import as_model, document_paths, read_document
from etl_platform.errors import ConfigurationError, EtlError, UnknownNameError
from etl_platform.institutions.clashes import Candidate, code_clash, find_clashes
from etl_platform.institutions.faults import Fault, Tenants, code_in, fault_of
from etl_platform.institutions.model import Institution
from etl_platform.transforms.validate import find_failures

BUILT_IN = Path(__file__).parent
SHARED_SCHEMA, STORED_SCHEMA = "shared", "stored"
_TAKEN = {
    SHARED_SCHEMA: "the tables across institutions",
    STORED_SCHEMA: "what the lake holds, published or not (`etl-platform query`)",
}
"""Schemas that are nobody's, and what they belong to."""
RootOf = Callable[[Institution], str]


def declared_root(institution: Institution) -> str:
    """The landing root as the file says it; "" for the platform's."""
    return institution.landing or ""


def load_institutions(folder: Path, contracts: Mapping[str, Contract], root_of: RootOf = declared_root) -> Tenants:
    """All institutions of `folder` by code, sorted, and the faults of those that cannot be used: one tenant's mistake
    is one tenant's. Datasets, columns and parameters are checked against `contracts`.

    root_of: where an institution delivers to, in one spelling; raises ConfigurationError (subject: the field) where it
    cannot, e.g. without its credentials.

    Raises ConfigurationError for a folder that is none, cannot be listed, or has no institution file.
    """
    found: dict[Path, Candidate | Fault] = {}
    documents: dict[Path, Any] = {}
    for path in _paths(folder):
        try:
            documents[path] = read_document(path)
            found[path] = _candidate(path, documents[path], contracts, root_of)
        except ConfigurationError as error:
            found[path] = fault_of(path, error, documents.get(path))
        except Exception as error:  # what one file makes our own checks trip over is still one tenant's
            named = ConfigurationError(
                str(path), found=f"{type(error).__name__}: {error}", expected="an institution file that can be checked"
            )
            found[path] = fault_of(path, named, documents.get(path))
    for path, clash in _clashes(found, documents).items():
        found[path] = fault_of(path, clash, documents[path])
    good = {c.code: c.institution for c in found.values() if isinstance(c, Candidate)}
    return Tenants(dict(sorted(good.items())), [f for f in found.values() if isinstance(f, Fault)])


def _paths(folder: Path) -> list[Path]:
    subject = f"institutions folder {folder}"
    if not folder.is_dir():
        raise ConfigurationError(subject, found="no such folder", next_step="set ETL_INSTITUTIONS_PATH")
    try:
        paths = document_paths(folder)
    except OSError as error:
        raise ConfigurationError(
            subject, found=error.strerror or str(error), expected="a folder that can be listed"
        ) from None
    if not paths:
        raise ConfigurationError(subject, found="no institution file", expected="*.yaml or *.toml")
    return paths


def _candidate(path: Path, document: Any, contracts: Mapping[str, Contract], root_of: RootOf) -> Candidate:
    """What one file says, right by itself. Raises ConfigurationError."""
    institution = as_model(path, document, Institution)
    if institution.schema_name in _TAKEN:
        raise ConfigurationError(
            f"{path} field warehouse_schema",
            found=f"{institution.schema_name!r}, which belongs to {_TAKEN[institution.schema_name]}",
            expected="a schema of its own: tenants never share one",
        )
    _check_against_contracts(path, institution, contracts)
    try:
        root = root_of(institution)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{path} {error.subject}", found=error.found, expected=error.expected, next_step=error.next_step
        ) from None
    return Candidate(path, institution, root)


def _clashes(found: Mapping[Path, Candidate | Fault], documents: Mapping[Path, Any]) -> dict[Path, ConfigurationError]:
    """Also with files that are out already: of two with one code nobody knows which is meant, whatever else is wrong
    with one of them."""
    candidates = [c for c in found.values() if isinstance(c, Candidate)]
    faulty = {code_in(documents.get(path)): path for path, f in found.items() if isinstance(f, Fault)}
    twice = {c.path: code_clash(c, [faulty[c.code]]) for c in candidates if c.code in faulty}
    return {**find_clashes(candidates), **twice}


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
    """`contract` with the parameters of `institution`; time zone and currencies only where it asks for them."""
    parameters = institution.contract_parameters(contract.dataset)
    for name in {"time_zone", "currencies"} - contract.parameters.keys():
        parameters.pop(name, None)
    return contract.bind(parameters)

"""All contracts: the built-in Python models and every declaration, by dataset name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from etl_platform.contracts import BUILT_IN, datasets
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.declared.compiled import load_declaration
from etl_platform.contracts.document import document_paths
from etl_platform.errors import ConfigurationError
from etl_platform.gold.graph import gold_graph

if TYPE_CHECKING:
    from etl_platform.settings import Settings


BUILT_IN_FOLDER = Path(datasets.__file__).parent


def load_contracts(settings: Settings) -> dict[str, Contract]:
    """Built-in models, built-in declarations, then those of ETL_DATASETS_PATH. Raises ConfigurationError."""
    own = settings.datasets_path
    return _load_from([BUILT_IN_FOLDER, own.expanduser()]) if own else dict(built_in_contracts())


@cache
def built_in_contracts() -> Mapping[str, Contract]:
    """The contracts that come with the package."""
    return _load_from([BUILT_IN_FOLDER])


def _load_from(folders: Sequence[Path]) -> dict[str, Contract]:
    """Built-in models and the declarations of `folders`. A name that is taken already is refused, not replaced."""
    contracts = dict(BUILT_IN)
    origin = dict.fromkeys(BUILT_IN, "a built-in dataset") | dict.fromkeys(gold_graph().tables, "a gold table")
    for folder in folders:
        if not folder.is_dir():
            raise ConfigurationError(
                f"datasets folder {folder}", found="no such folder", next_step="set ETL_DATASETS_PATH"
            )
        for path in document_paths(folder):
            contract = load_declaration(path)
            if contract.dataset in origin:
                raise ConfigurationError(
                    f"{path} field name",
                    found=f"{contract.dataset!r}, the name of {origin[contract.dataset]}",
                    expected="a name of its own",
                )
            contracts[contract.dataset], origin[contract.dataset] = contract, str(path)
    return contracts

"""The gold tables, one file each: model, rules, computation, lineage, plot. A new file here is a new table."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from etl_platform.gold.table import GoldTable


@cache
def gold_tables() -> tuple[GoldTable, ...]:
    """Every table of this folder, by name of its file."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, GoldTable))

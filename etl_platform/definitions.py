"""Entry point of the code location: assembles, nothing else."""

from __future__ import annotations

from etl_platform.defs.assemble import build_defs
from etl_platform.settings import load_settings

defs = build_defs(load_settings())

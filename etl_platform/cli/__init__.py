"""The command line. One module per command; each is a thin shell around what the package does anyway."""

from __future__ import annotations

from etl_platform.cli.main import main

__all__ = ["main"]

"""The command line. One module per command; each is a thin shell around what the package does anyway."""

from __future__ import annotations

import gc

# Before the imports: they and Dagster's definitions make objects by the hundred thousand that stay. The collector
# would walk through them again and again, for a tenth of the time that a run over a wide table takes.
gc.set_threshold(20_000, 20)

from etl_platform.cli.main import main  # noqa: E402 - see above

__all__ = ["main"]

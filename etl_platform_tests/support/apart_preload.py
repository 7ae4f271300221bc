"""Imported once by the server from which the commands of `apart.py` are forked; it opens nothing."""

import importlib

for name in ("dagster", "etl_platform.cli.main", "etl_platform.defs.assemble", "etl_platform_tests.support.apart"):
    importlib.import_module(name)
# The program itself, by its entry point: what it imports is no public interface.
for entry in ("dagster", "etl-platform"):
    (found,) = importlib.metadata.entry_points(group="console_scripts", name=entry)
    found.load()

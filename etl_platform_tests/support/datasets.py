"""Datasets declared in a test: the declaration and its sender as files, and a platform that has read them.

Belongs here: what unit, execution and command-line tests of declared datasets share.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.declared.compiled import load_declaration
from etl_platform.settings import Settings
from etl_platform_tests.support.platform import Platform

LEAST = """
name: visits
title: Visits
columns:
  - {name: visit_id, type: string, description: Identifier.}
  - {name: pages, type: integer, description: Pages seen., required: false}
"""


def declared(folder: Path, text: str, name: str = "visits.yaml") -> Contract:
    """The contract that a file with this text declares."""
    return load_declaration(write(folder, text, name))


def write(folder: Path, text: str, name: str = "visits.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def platform_with(folder: Path, declarations: Mapping[str, str], instance: dg.DagsterInstance) -> Platform:
    """A platform with more datasets, all of which its one institution `first` sends as plain CSV."""
    for name, text in declarations.items():
        write(folder / "datasets", text, f"{name}.yaml")
    sent = ", ".join(f"{name}: {{}}" for name in declarations)
    # A few rows by hand: one refused row is a large share.
    text = f"code: first\nname: first\nquality: {{largest_quarantined_share: 1}}\ndatasets: {{{sent}}}\n"
    write(folder / "institutions", text, "first.yaml")
    settings = Settings(
        home=folder / "home", datasets_path=folder / "datasets", institutions_path=folder / "institutions"
    )
    return Platform(settings, instance)

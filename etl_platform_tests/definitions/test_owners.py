"""Whoever looks at a dataset sees whom to ask about each of its senders."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from etl_platform.defs.assemble import build_defs
from etl_platform.defs.owners import SENDERS
from etl_platform.institutions.model import Institution
from etl_platform.settings import Settings
from etl_platform_tests.support.platform import plain_senders

DATASET_LAYERS = ("bronze", "silver", "quarantine", "reconciliation", "warehouse")
DEFAULT: str = Institution.model_fields["owner"].default


def senders(definitions: dg.Definitions) -> dict[str, list[tuple[object, ...]] | None]:
    """Asset -> its senders as the UI shows them."""
    found: dict[str, list[tuple[object, ...]] | None] = {}
    for spec in definitions.resolve_all_asset_specs():
        table = spec.metadata.get(SENDERS)
        assert table is None or isinstance(table, dg.TableMetadataValue)
        found[spec.key.to_user_string()] = [tuple(r.data.values()) for r in table.records] if table else None
    return found


def test_every_layer_of_a_dataset_names_its_senders_and_their_owners(tmp_path: Path) -> None:
    folder = plain_senders(tmp_path / "institutions", "first")
    plain_senders(folder, "second", settings="owner: desk@second.example")
    found = senders(build_defs(Settings(home=tmp_path / "home", institutions_path=folder)))
    (of_prices,) = {str(found[f"{layer}/prices"]) for layer in DATASET_LAYERS}
    (first, second) = found["silver/prices"] or []
    assert of_prices == str([first, second])
    assert (first[0], first[2]) == ("first", DEFAULT)
    assert second == ("second", "second", "desk@second.example")
    assert {key for key, table in found.items() if table} == {f"{layer}/prices" for layer in DATASET_LAYERS}

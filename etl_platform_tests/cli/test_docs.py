"""The committed pages are those that the contracts give."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.cli.docs import FOLDER, LEDGER_PAGE, with_law
from etl_platform.cli.main import cli
from etl_platform.ledger.law import ATTEMPTS, OBJECTS
from etl_platform.ledger.records import Outcome, State

REPOSITORY = Path(__file__).parents[2]


def pages(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_the_committed_pages_are_what_the_command_writes(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["docs", "--folder", str(tmp_path / "new" / "pages")])
    assert done.exit_code == 0, done.output
    written = pages(tmp_path / "new" / "pages")
    assert written.keys() == {f"{name}.md" for name in built_in_contracts()}
    assert pages(REPOSITORY / FOLDER) == written, "run `make docs` and commit docs/contracts"


def test_a_page_names_every_column_rule_and_parameter_and_is_what_show_prints(tmp_path: Path) -> None:
    CliRunner().invoke(cli, ["docs", "--folder", str(tmp_path)])
    for name, contract in built_in_contracts().items():
        text = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
        named = [*(c.name for c in contract.columns), *(r.name for r in contract.rules), *contract.parameters]
        assert [n for n in named if f"| `{n}` |" not in text] == []
        assert CliRunner().invoke(cli, ["contract", "show", name]).output == text


def test_the_ledgers_page_has_the_law_as_it_is_and_words_for_each_state() -> None:
    text = (REPOSITORY / LEDGER_PAGE).read_text(encoding="utf-8")
    assert with_law(text) == text, "run `make docs` and commit docs/ledger.md"
    assert text.count("stateDiagram-v2") == 2
    for move in (*OBJECTS, *ATTEMPTS):
        assert f"\n| {move.event.value} | " in text
    for state in (*State, *Outcome):
        assert f"\n| {state} | " in text, "a sentence for people"


def test_the_command_brings_the_ledgers_page_up_to_date_and_keeps_what_people_wrote(tmp_path: Path) -> None:
    page = tmp_path / LEDGER_PAGE.name
    page.write_text(
        "before\n<!-- law: objects -->\nold\n<!-- end -->\nbetween\n<!-- law: attempts -->\n<!-- end -->\nafter\n"
    )
    done = CliRunner().invoke(cli, ["docs", "--folder", str(tmp_path / "pages")])
    assert done.exit_code == 0, done.output
    written = page.read_text(encoding="utf-8")
    assert written.startswith("before\n") and "\nbetween\n" in written and written.endswith("\nafter\n")
    assert "old" not in written.splitlines() and written.count("```mermaid") == 2

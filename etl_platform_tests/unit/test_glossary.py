"""One word for one thing: the avoided words of docs/glossary.md stand nowhere, and its modules exist."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "etl_platform"
GLOSSARY = REPOSITORY / "docs" / "glossary.md"
PROSE = ("README.md", "CONTRIBUTING.md")
SUFFIXES = {".md", ".py", ".sql", ".toml", ".yaml"}


@dataclass(frozen=True)
class Entry:
    """A line of the page."""

    word: str
    meaning: str
    module: str
    avoid: tuple[str, ...]


def read_entries(page: str) -> list[Entry]:
    """Every line of its tables but their heads."""
    found = []
    for line in page.splitlines():
        if line.startswith("|") and not line.startswith(("| word", "|---")):
            word, meaning, module, avoid = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            found.append(Entry(word, meaning, module.strip("`"), tuple(re.findall("`([^`]+)`", avoid))))
    return found


def pattern(avoided: Iterable[str]) -> re.Pattern[str]:
    """Each word as a group: as text, as a name, over the end of a line, in the plural."""
    texts = [r"[\s_-]*".join(map(re.escape, re.split(r"[\s_-]+", word))) for word in avoided]
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(f'({text})' for text in texts)})s?(?![A-Za-z0-9])", re.IGNORECASE)


def uses(text: str, words: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Line and message of every avoided word. words: avoided -> what to write."""
    wanted = [*words.values()]
    for found in pattern(words).finditer(text):
        assert found.lastindex
        line = text.count("\n", 0, found.start()) + 1
        yield line, f"{found[0]!r} is avoided, write {wanted[found.lastindex - 1]!r}"


def searched() -> Iterator[Path]:
    for folder in (PACKAGE, REPOSITORY / "docs"):
        yield from (path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES and path != GLOSSARY)
    yield from (REPOSITORY / name for name in PROSE)


ENTRIES = read_entries(GLOSSARY.read_text(encoding="utf-8"))
WORDS = {avoided: entry.word for entry in ENTRIES for avoided in entry.avoid}


def test_every_word_is_there_once_with_a_meaning_a_module_and_what_to_avoid() -> None:
    assert len(ENTRIES) > 30
    for entry in ENTRIES:
        assert len(entry.meaning.split()) >= 4 and entry.meaning.endswith("."), entry.word
        assert (PACKAGE / entry.module).is_file(), f"{entry.word}: no module {entry.module}"
        assert entry.avoid, entry.word
    once = Counter([entry.word for entry in ENTRIES]) + Counter(word for entry in ENTRIES for word in entry.avoid)
    assert not [word for word, times in once.items() if times > 1]


def test_no_meaning_uses_an_avoided_word() -> None:
    assert not [(entry.word, found) for entry in ENTRIES for found in uses(f"{entry.word}: {entry.meaning}", WORDS)]


def test_no_avoided_word_stands_in_package_docs_or_readme() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {message}"
        for path in searched()
        for line, message in uses(path.read_text(encoding="utf-8"), WORDS)
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text", ["a dead letter", "Dead letters", "dead_letter_count", "dead-letter", "DeadLetter", "dead\nletter"]
)
def test_an_avoided_word_is_found_in_every_form(text: str) -> None:
    assert [line for line, _ in uses(f"\n{text}", {"dead letter": "quarantine"})] == [2]


@pytest.mark.parametrize("text", ["periods", "methods", "a dead man's letter"])
def test_a_part_of_another_word_is_none(text: str) -> None:
    assert not list(uses(text, {"ODS": "silver", "dead letter": "quarantine"}))

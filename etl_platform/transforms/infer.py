"""From a sample of a sender's rows to a declaration: columns, key, how the sender writes, and every doubt.

Belongs here: what the whole file shares: names, words for "no value", number marks, the key. Not here: one column
(`infer_types.py`), reading the sample, writing the declaration (`cli/infer.py`).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import polars as pl

from etl_platform.contracts.identifiers import ALLOWED
from etl_platform.contracts.shaping import Naming
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION
from etl_platform.contracts.visible import REFERENCE_SUFFIX, UNSEEN
from etl_platform.transforms.casts import Dialect
from etl_platform.transforms.infer_types import CODE_WORDS, DECIMAL, INTEGER, Guess, cannot_be_declared, guess_column

__all__ = ["Guess", "Inferred", "infer"]

NULL_TEXTS = ("NULL", "null", "N/A", "n/a", "NA", "#N/A", "None", "none", "-", "--")
WIDEST_KEY_SEARCH = 12
_GROUPED = {",": r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?$", ".": r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+)?$"}
_COMMA_DECIMAL = r"^[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+$"


@dataclass(frozen=True)
class Inferred:
    """columns: in the sender's order. left_out: columns that no type holds, with why. null_texts, dialect: what the
    institution file must say for the sample to be read."""

    columns: tuple[Guess, ...]
    left_out: dict[str, str]
    key: tuple[str, ...]
    key_doubt: str
    null_texts: tuple[str, ...]
    dialect: Dialect


def infer(rows: pl.DataFrame) -> Inferred:
    """Guess the columns of `rows`, as a reader gave them: text, or a Parquet file's own types."""
    left_out = {name: why for name in rows.columns if (why := cannot_be_declared(rows.get_column(name)))}
    named = _named([name for name in rows.columns if name not in left_out])
    suspected = _without(rows, NULL_TEXTS)
    dialect = _dialect(suspected)

    def guessed(one: Guess, frame: pl.DataFrame) -> Guess:
        return guess_column(replace(one, doubts=[*one.doubts]), frame.get_column(one.sent_as), dialect)

    # Only beside numbers and dates a word surely says "no value". Beside text it may be one: NA is a ticker.
    first = [guessed(one, suspected) for one in named]
    null_texts = _null_texts(rows.select(guess.sent_as for guess in first if guess.type != "string"))
    words = {text.strip() for text in null_texts} - {""}
    present = _without(rows, words)
    # With as many nulls a column has the same ones: `words` are some of NULL_TEXTS.
    nulls = (suspected.null_count() - present.null_count()).row(0, named=True)
    guesses = [guessed(one, present) if nulls[one.sent_as] else guess for one, guess in zip(named, first, strict=True)]
    for guess in guesses:
        if guess.type == "string":
            _doubt_words(guess, rows.get_column(guess.sent_as), words)
            _doubt_unseen(guess, rows.get_column(guess.sent_as), null_texts)
    key, doubt = _key(present, guesses)
    return Inferred(tuple(guesses), left_out, key, doubt, null_texts, dialect)


def _named(sent: Sequence[str]) -> list[Guess]:
    """A name of its own for each column. Where the sender's name does not lead to it (no letter or digit, or the name
    of another column but for case and special characters), the institution's file must."""
    forms = {name: Naming().apply(name) for name in sent}
    times = Counter(forms.values())
    guesses, taken = [], set[str]()
    for position, name in enumerate(sent, 1):
        guess = Guess(_portable(forms[name], position, taken), name)
        if not forms[name]:
            guess.doubts.append("its name has no letter or digit: the institution's file says which column it is")
        elif times[forms[name]] > 1:
            doubt = "another column has the same name but for case and special characters"
            guess.doubts.append(f"{doubt}: the institution's file tells them apart")
        guess.is_mapped = bool(guess.doubts)
        guesses.append(guess)
    return guesses


def _without(rows: pl.DataFrame, words: Collection[str]) -> pl.DataFrame:
    """`rows` with null for empty text and for `words`."""
    is_value = ~pl.col(pl.String).str.strip_chars().is_in([*words, ""])
    return rows.with_columns(pl.when(is_value).then(pl.col(pl.String)).name.keep())


def _null_texts(typed: pl.DataFrame) -> tuple[str, ...]:
    """Every text that says "no value" in columns of numbers and dates, as it is written."""
    found: set[str] = set()
    for column in typed.select(pl.col(pl.String)).iter_columns():
        distinct = column.drop_nulls().unique()
        found.update(distinct.filter(distinct.str.strip_chars().is_in([*NULL_TEXTS, ""])))
    return tuple(sorted(found))


def _doubt_words(guess: Guess, values: pl.Series, words: Collection[str]) -> None:
    if values.dtype != pl.String:
        return
    distinct = values.drop_nulls().str.strip_chars().unique()
    found = sorted(distinct.filter(distinct.is_in(list(NULL_TEXTS))))
    for word in found if len(found) < len(distinct) else ():
        if word in words:
            guess.doubts.append(
                f"{word!r} is no value here, as in other columns (null_texts); it may be one: NA is a ticker"
            )
        else:
            guess.doubts.append(
                f'{word!r} may say "no value": add it to null_texts in the institution\'s file if it does'
            )


def _doubt_unseen(guess: Guess, values: pl.Series, null_texts: Collection[str]) -> None:
    unseen = _unseen(values.filter(~values.cast(pl.String).is_in(list(null_texts))))
    if unseen and guess.name.endswith(REFERENCE_SUFFIX):
        what = "hold characters that cannot be seen, or blanks at their ends"
        guess.doubts.append(f"{unseen} values {what}: their rows go to quarantine")


def _unseen(values: pl.Series) -> int:
    """How many values no identifier may hold."""
    return int(values.cast(pl.String).str.contains(UNSEEN).sum())


def _dialect(rows: pl.DataFrame) -> Dialect:
    """A decimal comma or thousands marks, where a column shows them beyond doubt."""
    for column in rows.select(pl.col(pl.String)).iter_columns():
        values = column.drop_nulls().str.strip_chars()
        if values.is_empty():
            continue
        is_plain = values.str.contains(INTEGER)
        if (is_plain | values.str.contains(_COMMA_DECIMAL)).all() and not is_plain.all():
            thousands = "." if values.str.contains(_GROUPED["."]).any() else ""
            # 1,234 in every row may be a thousand or a fraction: only other digits after the comma decide.
            if not (values.str.contains(_GROUPED[","]) | is_plain).all():
                return Dialect(decimal=",", thousands=thousands)
        if (values.str.contains(DECIMAL) | values.str.contains(_GROUPED[","])).all() and (
            values.str.contains(_GROUPED[","]).any()
        ):
            return Dialect(thousands=",")
    return Dialect()


def _portable(form: str, position: int, taken: set[str]) -> str:
    name = (
        re.sub(r"[^a-z0-9_]", "", form.replace("ß", "ss").encode("ascii", "ignore").decode()).strip("_")[:60]
        or f"column_{position}"
    )
    if not name[0].isalpha() or name in {BUSINESS_DATE, INSTITUTION}:
        name = f"sent_{name}"[:60]
    base, number = name, 2
    while name in taken:
        name, number = f"{base[:56]}_{number}", number + 1
    assert ALLOWED.fullmatch(name)
    taken.add(name)
    return name


def _key(rows: pl.DataFrame, guesses: Sequence[Guess]) -> tuple[tuple[str, ...], str]:
    """The first column, or pair of columns, whose values are all there and all different; codes before the rest.
    Texts with characters that cannot be seen are none: their rows would be quarantined."""
    full = [
        g
        for g in guesses
        if g.required
        and not g.type.startswith(("decimal", "float"))
        and not (g.type == "string" and _unseen(rows.get_column(g.sent_as)))
    ]
    ranked = sorted(full, key=lambda g: not set(g.name.split("_")) & CODE_WORDS)[:WIDEST_KEY_SEARCH]
    for size in (1, 2):
        found = [c for c in itertools.combinations(ranked, size) if rows.select(g.sent_as for g in c).is_unique().all()]
        if found:
            others = [" + ".join(g.name for g in c) for c in found[1:4]]
            doubt = f"unique in {rows.height} rows of the sample" + (f"; so is {', '.join(others)}" if others else "")
            return tuple(g.name for g in found[0]), doubt
    return (), "no column or pair of columns is unique in the sample: whole rows are compared"

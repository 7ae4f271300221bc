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

from etl_platform.contracts.declared.column_types import parse_type
from etl_platform.contracts.identifiers import ALLOWED
from etl_platform.contracts.shaping import Naming
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION
from etl_platform.contracts.visible import REFERENCE_SUFFIX, UNSEEN
from etl_platform.limits import COLUMNS_COMPARED_TOGETHER, KEY_SEARCH_COLUMNS
from etl_platform.transforms.casts import Dialect, cast_series
from etl_platform.transforms.infer_types import CODE_WORDS, DECIMAL, INTEGER, Guess, cannot_be_declared, guess_column
from etl_platform.transforms.normalise import column_dialect

__all__ = ["Guess", "Inferred", "infer"]

NULL_TEXTS = ("NULL", "null", "N/A", "n/a", "NA", "#N/A", "None", "none", "-", "--")
_ROW, _FIRST, _UNREAD = "_row", "_first", "_unread_"
_GROUPED = {",": r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?$", ".": r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+)?$"}
_COMMA_DECIMAL = r"^[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+$"


@dataclass(frozen=True)
class Inferred:
    """columns: in the sender's order. left_out: columns that no type holds, with why. null_texts, dialect: what the
    institution file must say for the sample to be read.

    repeats: where there is no key, the places of the rows that are read as an earlier one is. key_of_distinct: what
    would be the key of the others."""

    columns: tuple[Guess, ...]
    left_out: dict[str, str]
    key: tuple[str, ...]
    key_doubt: str
    null_texts: tuple[str, ...]
    dialect: Dialect
    repeats: pl.Series
    key_of_distinct: tuple[str, ...] = ()


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
    read = _Reading(rows, null_texts, dialect)
    candidates = _key_candidates(present, guesses, read)
    key, doubt = _key(candidates)
    repeats = pl.Series(dtype=pl.UInt32) if key else _repeats(guesses, read)
    key_of_distinct = _key_of_distinct(candidates, repeats)
    return Inferred(tuple(guesses), left_out, key, doubt, null_texts, dialect, repeats, key_of_distinct)


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
    texts = rows.select(pl.col(pl.String))
    # Both need a comma: asked of all columns at once, a thousand of them take as long as ten.
    has_comma = texts.select(pl.all().str.contains(",", literal=True).any())
    for column in texts.select(name for name in has_comma.columns if has_comma.item(0, name)).iter_columns():
        values = column.drop_nulls().str.strip_chars()
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


@dataclass(frozen=True)
class _Reading:
    """The sample as the declared columns will hold it."""

    rows: pl.DataFrame
    null_texts: tuple[str, ...]
    dialect: Dialect

    def received(self, guess: Guess) -> pl.Series:
        """The column as it was sent, null where it says "no value"."""
        values = self.rows.get_column(guess.sent_as)
        if values.dtype != pl.String or not self.null_texts:
            return values
        return values.to_frame("v").select(pl.when(~pl.col("v").is_in(list(self.null_texts))).then("v")).to_series()

    def typed(self, guess: Guess, values: pl.Series) -> pl.Series:
        """`values` of the column in its type: 7 and 007 are two texts and one integer."""
        return cast_series(values, parse_type(guess.type), column_dialect(self.dialect, guess.formats))


def _repeats(guesses: Sequence[Guess], read: _Reading) -> pl.Series:
    """The places of the rows that are read as an earlier row is.

    Some columns at a time, only of rows that are alike so far: most are told apart by the first few.
    """
    alike = pl.DataFrame({_ROW: pl.int_range(read.rows.height, dtype=pl.UInt32, eager=True)})
    alike = alike.with_columns(pl.lit(0, pl.UInt32).alias(_FIRST))
    for start in range(0, len(guesses), COLUMNS_COMPARED_TOGETHER):
        if alike.is_empty():
            break
        values = [alike.get_column(_FIRST)]
        for guess in guesses[start : start + COLUMNS_COMPARED_TOGETHER]:
            received = read.received(guess).gather(alike.get_column(_ROW))
            values.append(read.typed(guess, received).alias(guess.name))
            if values[-1].null_count() > received.null_count():  # such a row goes to quarantine, and repeats nothing
                values.append((values[-1].is_null() & received.is_not_null()).alias(f"{_UNREAD}{guess.name}"))
        compared = pl.DataFrame([alike.get_column(_ROW), *values])
        if unread := [name for name in compared.columns if name.startswith(_UNREAD)]:
            compared = compared.filter(~pl.any_horizontal(unread))
        is_same = [name for name in compared.columns if name != _ROW]
        alike = compared.select(_ROW, pl.col(_ROW).first().over(is_same).alias(_FIRST))
        alike = alike.filter(pl.len().over(_FIRST) > 1)
    return alike.filter(pl.col(_ROW) != pl.col(_FIRST)).get_column(_ROW)


def _key_of_distinct(candidates: pl.DataFrame, repeats: pl.Series) -> tuple[str, ...]:
    """What would be the key without `repeats`. Of a single row everything is."""
    if repeats.is_empty() or candidates.height - len(repeats) < 2:
        return ()
    is_distinct = pl.repeat(True, candidates.height, eager=True).scatter(repeats, False)
    return _key(candidates.filter(is_distinct))[0]


def _key_candidates(present: pl.DataFrame, guesses: Sequence[Guess], read: _Reading) -> pl.DataFrame:
    """The columns that may be part of a key, as they are read: codes before the rest, no amounts, every value there.
    Texts with characters that cannot be seen are none: their rows would be quarantined."""
    full = [
        g
        for g in guesses
        if g.required
        and not g.type.startswith(("decimal", "float"))
        and not (g.type == "string" and _unseen(present.get_column(g.sent_as)))
    ]
    ranked = sorted(full, key=lambda g: not set(g.name.split("_")) & CODE_WORDS)[:KEY_SEARCH_COLUMNS]
    columns = [read.typed(guess, read.received(guess)).alias(guess.name) for guess in ranked]
    return pl.DataFrame(columns) if columns else pl.DataFrame(height=present.height)


def _key(candidates: pl.DataFrame) -> tuple[tuple[str, ...], str]:
    """The first column, or pair of columns, whose values are all different."""
    for size in (1, 2):
        found = [c for c in itertools.combinations(candidates.columns, size) if candidates[list(c)].is_unique().all()]
        if found:
            others = [" + ".join(c) for c in found[1:4]]
            so_are = f"; so is {', '.join(others)}" if others else ""
            return found[0], f"unique in {candidates.height} rows of the sample{so_are}"
    return (), "no column or pair of columns is unique in the sample: whole rows are compared"

"""The control line at the end of a CSV file: its count and sums against what was read.

Belongs here: recognising the line and comparing. Not here: splitting, parsing.
A group `sum_<column>` names a column as the sender does, with `_` for every character that is no letter, digit or
underscore. Sums are exact decimals; both sides may be written with a decimal point or a decimal comma, in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation, localcontext

import numpy as np
import polars as pl

from etl_platform.errors import ConfigurationError
from etl_platform.readers.csv.quotes import starts_with
from etl_platform.readers.csv.split import Block
from etl_platform.readers.source import Source

_RULE = "file_matches_its_trailer"
# 19 digits before the mark are enough for any control sum; polars counts in 38 digits.
_AMOUNT = pl.Decimal(38, 19)


def flag_last(blocks: Iterable[Block]) -> Iterator[tuple[Block, bool]]:
    """Yield each block and whether it holds the last line with text; blank blocks after it are dropped."""
    held: Block | None = None
    for block in blocks:
        if not block.records.text.strip(b"\r\n"):
            continue
        if held:
            yield held, False
        held = block
    if held:
        yield held, True


@dataclass
class Control:
    """Counts what was read, then compares. pattern: the regular expression of the whole control line."""

    source: Source
    pattern: re.Pattern[str]
    rows: int = 0
    rejected: int = 0
    line: re.Match[str] | None = None
    sums: dict[tuple[str, bool], Decimal] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source, pattern: str) -> Control:
        """Compile the pattern. Raises ConfigurationError where it says nothing to compare."""
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ConfigurationError(
                f"{source.subject} option trailer", found=f"{pattern!r}: {error}", expected="a regular expression"
            ) from error
        known = [name for name in compiled.groupindex if name == "rows" or name.startswith("sum_")]
        if not known or len(known) != len(compiled.groupindex):
            raise ConfigurationError(
                f"{source.subject} option trailer",
                found=f"named groups {sorted(compiled.groupindex)}",
                expected="`rows` and/or `sum_<column>`",
            )
        return cls(source, compiled)

    def take_line(self, block: Block) -> Block:
        """The block without its last line, which must be the control line."""
        records = block.records
        blank = np.union1d(*(starts_with(records.text, records.starts, end) for end in (b"\r", b"\n")))
        last = int(np.setdiff1d(np.arange(len(records)), blank)[-1])
        text = records.text[records.starts[last] : records.stops[last]].decode().rstrip("\r\n")
        self.line = self.pattern.fullmatch(text)
        if self.line is None:
            raise self.source.refusal(_RULE, f"last line {text[:200]!r}", f"a control line like {self.pattern.pattern}")
        return block.before(last)

    def count(self, columns: pl.DataFrame, rejected: int) -> None:
        """Add the rows of a batch."""
        self.rows += columns.height + rejected
        self.rejected += rejected
        # A group of a regular expression has a plain name; a column may be called anything.
        plain = {re.sub(r"\W", "_", name): name for name in columns.columns}
        for name in self._summed():
            column = name if name in columns.columns else plain.get(name)
            if column is None:
                raise self.source.refusal(_RULE, f"no column {name} to sum", "the column that the trailer sums")
            for comma in (False, True):
                amounts = pl.select(_plain(columns[column], comma=comma).cast(_AMOUNT, strict=False)).to_series()
                self._add(name, comma, Decimal(amounts.sum() or 0))

    def compare(self) -> None:
        """Raise FileRefusedError where the control line is missing or says something else."""
        if self.line is None:
            raise self.source.refusal(_RULE, "no control line", f"a control line like {self.pattern.pattern}")
        said = self.line.groupdict(default="")
        if "rows" in said and _number(said["rows"]) != self.rows:
            raise self.source.refusal(_RULE, f"{self.rows} rows", f"{said['rows'] or 'no'} rows as its trailer says")
        for name in self._summed():
            text = said[f"sum_{name}"]
            totals = {comma: self.sums.get((name, comma), Decimal(0)) for comma in (False, True)}
            if not any(_number(text, comma=comma) == total for comma, total in totals.items()):
                skipped = f" ({self.rejected} unreadable rows not in it)" if self.rejected else ""
                raise self.source.refusal(
                    _RULE, f"sum of {name} {_shown(text, totals)}{skipped}", f"{text or 'none'} as its trailer says"
                )

    def _summed(self) -> list[str]:
        return [name.removeprefix("sum_") for name in self.pattern.groupindex if name.startswith("sum_")]

    def _add(self, name: str, comma: bool, amount: Decimal) -> None:
        with localcontext(prec=60):
            self.sums[name, comma] = self.sums.get((name, comma), Decimal(0)) + amount


def _shown(text: str, totals: dict[bool, Decimal]) -> str:
    """The sum that was read: by the decimal mark that the control line has, else by both."""
    last = max(text.rfind(","), text.rfind("."))
    meant = [totals[text[last] == ","]] if last >= 0 else totals.values()
    return " or ".join(dict.fromkeys(format(total, "f").rstrip("0").rstrip(".") or "0" for total in meant))


def _plain(texts: pl.Series, *, comma: bool) -> pl.Expr:
    thousands, decimal = (".", ",") if comma else (",", ".")
    bare = pl.lit(texts).str.replace_all(rf"[\s'’_{thousands}]", "")
    return bare.str.replace(decimal, ".", literal=True)


def _number(text: str, *, comma: bool = False) -> Decimal | None:
    thousands, decimal = (".", ",") if comma else (",", ".")
    try:
        return Decimal(re.sub(rf"[\s'’_{thousands}]", "", text).replace(decimal, "."))
    except InvalidOperation:
        return None

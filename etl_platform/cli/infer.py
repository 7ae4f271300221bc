"""`etl-platform infer`: a dataset declaration from a sample file, with every doubt as a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import polars as pl
import yaml

from etl_platform.contracts.shaping import Naming
from etl_platform.errors import FileRefusedError
from etl_platform.readers import CsvOptions, FormatOptions, JsonOptions, ParquetOptions, read_file, sniff
from etl_platform.readers.archive import open_chunks
from etl_platform.readers.options import ReadLimits
from etl_platform.readers.sniff import head_text
from etl_platform.readers.source import Source
from etl_platform.transforms.infer import Guess, Inferred, infer

MOST_ROWS = 200_000
DELIMITERS, ENCODINGS = (",", ";", "\t", "|"), ("utf-8", "cp1252", "utf-16")
HEAD_LINES = 20


@click.command("infer")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Name of the dataset. Default: from the file's name.")
def infer_command(file: Path, name: str | None) -> None:
    """Write a dataset declaration from a sample FILE (CSV, JSON, Parquet; compressed or not) to standard output.

    Whatever the sample leaves in doubt is a comment that begins with `unsure`: read them before you use it.

    \b
      etl-platform infer sample.csv --name visits > datasets/visits.yaml
    """
    click.echo(declaration_text(file, name or _dataset_name(file)), nl=False)


def declaration_text(file: Path, name: str) -> str:
    """The declaration as YAML with comments. Raises FileRefusedError where the file cannot be read."""
    options, rows, rejects = read_sample(file)
    return "\n".join(_lines(infer(rows), options, name, file, rows.height, rejects)) + "\n"


def read_sample(file: Path) -> tuple[FormatOptions, pl.DataFrame, int]:
    """How the file is written, its first rows, and how many records among them could not be taken apart."""
    candidates = _options(file)
    for number, options in enumerate(candidates, 1):
        try:
            rows, rejects = _read(file, options)
        except FileRefusedError:
            if number == len(candidates):
                raise
        else:
            return options, rows, rejects
    raise AssertionError("there is always one candidate")


def _options(file: Path) -> list[FormatOptions]:
    found = sniff(file)
    if found.format == "parquet":
        return [ParquetOptions()]
    if found.format == "json":
        return [JsonOptions()]
    head = next(open_chunks(Source(file, str(file), ReadLimits()), found.compression), b"")
    delimiter = _delimiter(head_text(head[: 64 * 1024]))
    return [CsvOptions(delimiter=delimiter, encoding=encoding) for encoding in ENCODINGS]


def _delimiter(text: str) -> str:
    """The mark that stands equally often in the most lines; quoted parts do not count."""
    lines = [re.sub(r'"[^"]*"', "", line) for line in text.splitlines()[:HEAD_LINES] if line]

    def fits(mark: str) -> tuple[int, int]:
        counts = [line.count(mark) for line in lines]
        return (sum(1 for count in counts if count and count == counts[0]), counts[0] if counts else 0)

    return max(DELIMITERS, key=fits)


def _read(file: Path, options: FormatOptions) -> tuple[pl.DataFrame, int]:
    frames: list[pl.DataFrame] = []
    rejects = 0
    for batch in read_file(file, subject=str(file), options=options):
        frames.append(batch.columns)
        rejects += batch.rejects.height
        if sum(frame.height for frame in frames) >= MOST_ROWS:
            break
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame(), rejects


def _dataset_name(file: Path) -> str:
    stem = re.sub(r"[^a-z0-9_]", "", Naming().apply(file.name.split(".")[0]).encode("ascii", "ignore").decode())
    # A delivery's date is no part of the dataset's name.
    plain = re.sub(r"_*[0-9]{4}_?[0-9]{2}_?[0-9]{2}.*$", "", stem).strip("_")
    return plain if plain[:1].isalpha() else f"dataset_{plain}".strip("_")


def _lines(found: Inferred, options: FormatOptions, name: str, file: Path, rows: int, rejects: int) -> Iterator[str]:
    yield f"# From {rows} rows of {file.name}. Replace title and descriptions; read every comment that says `unsure`."
    yield "# The institution that sends it says in its file:"
    yield f"#   {name}: {_flow(_sender(found, options))}"
    if rejects:
        yield f"# unsure: {rejects} records of the sample could not be taken apart; they would go to quarantine"
    if rows >= MOST_ROWS:
        yield f"# unsure: only the first {rows} rows were looked at"
    for sent_as, why in found.left_out.items():
        yield f"# unsure: column {_flow(sent_as)} is left out: {why}"
    yield f"name: {name}"
    yield f"title: {_flow(name.replace('_', ' ').capitalize())}"
    yield "columns:"
    for guess in found.columns:
        yield from (f"  # unsure: {_one_line(doubt)}" for doubt in guess.doubts)
        yield f"  - {_flow(_column(guess))}"
    yield f"# unsure: {found.key_doubt}"
    yield f"key: {_flow(list(found.key))}"
    times = [guess.name for guess in found.columns if guess.type == "timestamp" and guess.required]
    if times:
        if len(times) > 1:
            yield f"# unsure: or {', '.join(times[1:])}"
        yield f"event_time: {times[0]}"


def _column(guess: Guess) -> dict[str, Any]:
    column: dict[str, Any] = {
        "name": guess.name,
        "type": guess.type,
        "description": f"Sent as {guess.sent_as.strip(' .')}.",
    }
    if Naming().apply(guess.sent_as) != guess.name:
        column["source"] = guess.sent_as
    if not guess.required:
        column["required"] = False
    if guess.formats:
        column["formats"] = list(guess.formats)
    return column


def _sender(found: Inferred, options: FormatOptions) -> dict[str, Any]:
    config: dict[str, Any] = {"format": {"type": options.type, **options.model_dump(exclude_defaults=True)}}
    marks = {"decimal": found.dialect.decimal, "thousands": found.dialect.thousands}
    if marks != {"decimal": ".", "thousands": ""}:
        config["numbers"] = marks
    if found.null_texts:
        config["null_texts"] = list(found.null_texts)
    return config


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**9)
    return text.removesuffix("...\n").strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())

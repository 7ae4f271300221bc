"""`etl-platform infer`: a dataset declaration from a sample file, with every doubt as a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts.identifiers import ALLOWED
from etl_platform.contracts.shaping import Naming
from etl_platform.gold.graph import gold_graph
from etl_platform.infer.proposal import Guess, Inferred, infer
from etl_platform.infer.sample import Sample, read_sample
from etl_platform.limits import DATASET_NAME_CHARACTERS, INFERRED_LINES_SHOWN
from etl_platform.readers import CsvOptions, FormatOptions


def _chosen_name(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    if name is not None and (not ALLOWED.fullmatch(name) or name.startswith("_")):
        raise click.BadParameter(f"found {name!r}; expected lower-case letters, digits and underscores, at most 62")
    if name in _taken_names():
        raise click.BadParameter(f"found {name!r}, the name of a built-in dataset or table; expected a name of its own")
    return name


def _taken_names() -> set[str]:
    return {*built_in_contracts(), *gold_graph().tables}


@click.command("infer")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", callback=_chosen_name, help="Name of the dataset. Default: from the file's name.")
def infer_command(file: Path, name: str | None) -> None:
    """Write a dataset declaration from a sample FILE (CSV, JSON, Parquet; compressed or not) to standard output.

    Whatever the sample leaves in doubt is a comment that begins with `unsure`: read them before you use it.

    \b
      etl-platform infer sample.csv --name visits > datasets/visits.yaml
    """
    click.echo(declaration_text(file, name or _dataset_name(file)), nl=False)


def declaration_text(file: Path, name: str) -> str:
    """The declaration as YAML with comments. Raises FileRefusedError where the file cannot be read."""
    sample = read_sample(file)
    return "\n".join(_lines(infer(sample.rows), sample, name, file)) + "\n"


def _dataset_name(file: Path) -> str:
    stem = re.sub(r"[^a-z0-9_]", "", Naming().apply(file.name.split(".")[0]).encode("ascii", "ignore").decode())
    # A delivery's date is no part of the dataset's name.
    plain = re.sub(r"_*[0-9]{4}_?[0-9]{2}_?[0-9]{2}.*$", "", stem).strip("_")
    return (plain if plain[:1].isalpha() else f"dataset_{plain}".strip("_"))[:DATASET_NAME_CHARACTERS]


def _lines(found: Inferred, sample: Sample, name: str, file: Path) -> Iterator[str]:
    rows = sample.rows.height
    yield f"# From {rows} rows of {_one_line(file.name)}. Replace title and descriptions; read every `unsure` comment."
    own_name = f"{name}_2" if name in _taken_names() else name
    if own_name != name:
        yield f"# unsure: {name} is built in; if its contract fits, this file is not needed: contract show {name}"
    yield "# The institution that sends it says in its file:"
    yield f"#   {_flow(own_name)}: {_flow(_sender(found, sample.options))}"
    yield from (f"# unsure: {_one_line(doubt)}" for doubt in sample.doubts)
    for sent_as, why in found.left_out.items():
        yield f"# unsure: column {_flow(sent_as)} is left out: {why}"
    yield f"name: {_flow(own_name)}"
    yield f"title: {_flow(own_name.replace('_', ' ').capitalize())}"
    yield "columns:"
    for guess in found.columns:
        yield from (f"  # unsure: {_one_line(doubt)}" for doubt in guess.doubts)
        yield f"  - {_flow(_column(guess))}"
    yield f"# unsure: {found.key_doubt}"
    yield from (f"# unsure: {doubt}" for doubt in _repeat_doubts(found, sample))
    yield f"key: {_flow(list(found.key))}"
    if len(found.repeats):
        yield "deduplicate: occurrence"
    times = [guess.name for guess in found.columns if guess.type == "timestamp" and guess.required]
    if times:
        if len(times) > 1:
            yield f"# unsure: or {', '.join(times[1:])}"
        if found.key:
            yield "# unsure: are rows events of their date? Then a key that two dates deliver counts once with"
            yield "#   business_date_tolerance_hours: 12"
        yield f"event_time: {_flow(times[0])}"


def _repeat_doubts(found: Inferred, sample: Sample) -> Iterator[str]:
    """What the default would make of rows that nothing tells from an earlier one."""
    count = len(found.repeats)
    if not count:
        return
    where = ("line" if isinstance(sample.options, CsvOptions) else "record") + "s" * (count > 1)
    first = ", ".join(str(line) for line in sample.lines.gather(found.repeats.head(INFERRED_LINES_SHOWN)))
    more = ", ..." if count > INFERRED_LINES_SHOWN else ""
    yield (
        f"no identifier: {count} of {sample.rows.height} rows equal an earlier one ({where} {first}{more}) and would "
        "be lost as duplicates under the default, `deduplicate: latest`; `occurrence` keeps equal lines of one file"
    )
    yield (
        "better: ask the sender for an identifier, and name it as `key`; `deduplicate: off` would keep the rows of a "
        "file that comes twice, too"
    )
    if found.key_of_distinct:
        names = list(found.key_of_distinct)
        yield (
            f"but for these rows {' + '.join(names)} is unique; if it identifies a row they are mere repeats: "
            f"`key: {_flow(names)}` and no `deduplicate` counts them as duplicates"
        )


def _column(guess: Guess) -> dict[str, Any]:
    column: dict[str, Any] = {
        "name": guess.name,
        "type": guess.type,
        "description": f"Sent as {guess.sent_as.strip(' .') or 'a column without name'}.",
    }
    if not guess.is_mapped and Naming().apply(guess.sent_as) != guess.name:
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
    if mapped := {guess.sent_as: guess.name for guess in found.columns if guess.is_mapped}:
        config["columns"] = mapped
    if found.null_texts:
        config["null_texts"] = list(found.null_texts)
    return config


class _OneLine(yaml.SafeDumper):
    """Texts with line ends or other invisible characters in double quotes, escaped: a comment has one line."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_OneLine.add_representer(str, _text)


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    text: str = yaml.dump(
        value, Dumper=_OneLine, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**9
    )
    return text.removesuffix("...\n").strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())

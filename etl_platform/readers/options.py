"""How one sender writes its files: dialect options, validated when the institution file is loaded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from etl_platform.limits import (
    DECOMPRESSED_BYTES,
    DECOMPRESSED_RATIO,
    FIELD_BYTES,
    FILE_CELLS,
    FILE_COLUMNS,
    JSON_DEPTH,
)

Format = Literal["csv", "json", "parquet"]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CsvOptions(_Options):
    """CSV dialect. `header: false` needs `columns`; `comment` skips lines that begin with it."""

    type: Literal["csv"] = "csv"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str = Field(default='"', min_length=1, max_length=1)
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[str, ...] = ()
    comment: str | None = None
    multiline: Literal["checked", "trusted"] = Field(
        default="checked",
        description="Whether a quoted field over several lines is doubted where the lines inside it are records.",
    )
    trailer: str | None = Field(
        default=None,
        description="Regular expression of a last control line, with named groups `rows` and/or `sum_<column>`.",
    )


class JsonOptions(_Options):
    """JSON: one object per line, or an array of objects at `records` (a dotted path; empty: the top level)."""

    type: Literal["json"] = "json"
    layout: Literal["auto", "lines", "array"] = "auto"
    records: str = ""
    encoding: str = "utf-8"


class ParquetOptions(_Options):
    """Parquet needs no dialect."""

    type: Literal["parquet"] = "parquet"


FormatOptions = Annotated[CsvOptions | JsonOptions | ParquetOptions, Field(discriminator="type")]


class ReadLimits(_Options):
    """Bounds beyond which a file is refused instead of read (decompression bombs, absurd shapes)."""

    decompressed_ratio: int = DECOMPRESSED_RATIO
    decompressed_bytes: int = DECOMPRESSED_BYTES
    columns: int = FILE_COLUMNS
    cells: int = FILE_CELLS
    json_depth: int = JSON_DEPTH
    field_bytes: int = FIELD_BYTES

"""Bytes to text columns and rejects, one module per format. No Dagster, no network."""

from etl_platform.readers.batch import REJECT_SCHEMA, SOURCE_ROW, Batch
from etl_platform.readers.options import CsvOptions, FormatOptions, JsonOptions, ParquetOptions, ReadLimits
from etl_platform.readers.read import read_file
from etl_platform.readers.sniff import Sniffed, sniff

__all__ = [
    "REJECT_SCHEMA",
    "SOURCE_ROW",
    "Batch",
    "CsvOptions",
    "FormatOptions",
    "JsonOptions",
    "ParquetOptions",
    "ReadLimits",
    "Sniffed",
    "read_file",
    "sniff",
]

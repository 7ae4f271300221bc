"""Every hostile file or row that senders are known to deliver, each with what becomes of it.

`docs/files.md` is written from this table: `python -m etl_platform_tests.support.hostile_files docs/files.md`.
Belongs here: the cases. Not here: bombs' bytes (`bombs.py`), reading them (`execution/test_hostile_files.py`).
"""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import io
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from pyarrow.parquet import encryption

from etl_platform.readers import CsvOptions, FormatOptions, JsonOptions, ParquetOptions, ReadLimits
from etl_platform.transforms.dialect import Dialect
from etl_platform.transforms.normalise import SenderFormat
from etl_platform_tests.support import bombs
from etl_platform_tests.support.dialects import zipped

CSV, JSON, PARQUET = CsvOptions(), JsonOptions(), ParquetOptions()
HEADER = "symbol,timestamp,open,high,low,close,volume\n"
IDENTIFIERS = "Identifiers"
_TEN = 1_736_935_200_000_000
"""10:00 of the business date, in microseconds."""
BOOKINGS = "transaction_id,account_id,timestamp,amount,currency,type,description\n"
_BAR = {
    "symbol": "AAA",
    "timestamp": "2025-01-15T10:00:00Z",
    "open": "2",
    "high": "3",
    "low": "1",
    "close": "2",
    "volume": "10",
}

SKIPPED = b"\x5d\x2a\x4d\x18\x04\0\0\0size"  # a zstd frame that is no content
Broken = Mapping[int | None, Sequence[str]]


@dataclass(frozen=True)
class Case:
    """what: for people. silver, broken, duplicates: the verdict; `broken` is `_source_row` -> rules, None: the file.

    make: the bytes of each delivery. limits: of bombs alone, which are refused within 2 s and 200 MB.
    """

    topic: str
    what: str
    make: Callable[[], Sequence[bytes]]
    options: FormatOptions = CSV
    silver: int = 0
    broken: Broken = field(default_factory=dict)
    duplicates: int = 0
    dataset: str = "prices"
    sender: SenderFormat = SenderFormat()
    limits: ReadLimits | None = None
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """As the page says it."""
        rules = ", ".join(
            f"`{name}`" for name in dict.fromkeys(name for names in self.broken.values() for name in names)
        )
        if None in self.broken:
            return f"file refused: {rules}"
        if self.broken:
            return f"row quarantined: {rules}"
        return "loaded, the repeat counted as duplicate" if self.duplicates else "loaded"


def bar(symbol: str = "AAA", **changes: str) -> str:
    """One line of `prices`."""
    return ",".join({**_BAR, "symbol": symbol, **changes}.values()) + "\n"


def booking(number: int = 1, description: str = "", amount: str = "5") -> str:
    """One line of `transactions`."""
    return f"T{number},ACC-1,2025-01-15T10:00:00Z,{amount},EUR,deposit,{description}\n"


TWO = HEADER + bar("AAA") + bar("BBB")


def _json(*bars: Mapping[str, str]) -> bytes:
    lines = ["{" + ",".join(f'"{k}":"{v}"' for k, v in {**_BAR, **one}.items()) + "}\n" for one in bars]
    return "".join(lines).encode()


LINES = _json({"symbol": "AAA"}, {"symbol": "BBB"})
ARRAY = b"[" + LINES.strip().replace(b"\n", b",") + b"]"


def _parquet(**options: Any) -> bytes:
    columns = {name: [value, value] for name, value in _BAR.items()} | {"symbol": ["AAA", "BBB"]}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **({"compression": "none", "use_dictionary": False} | options))
    return buffer.getvalue()


def encrypted_parquet(*, plaintext_footer: bool = False) -> bytes:
    """As Spark writes it with a key for one column, and one for the footer."""

    class _Keys(encryption.KmsClient):  # type: ignore[misc]
        def wrap_key(self, key_bytes: bytes, _name: str) -> bytes:
            return base64.b64encode(key_bytes)

        def unwrap_key(self, wrapped_key: bytes, _name: str) -> bytes:
            return base64.b64decode(wrapped_key)

    how = encryption.EncryptionConfiguration("footer", column_keys={"c": ["symbol"]}, plaintext_footer=plaintext_footer)
    keys = encryption.CryptoFactory(lambda _: _Keys())
    properties = keys.file_encryption_properties(encryption.KmsConnectionConfig(), how)
    return _parquet(encryption_properties=properties)


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _file(topic: str, what: str, content: str | bytes, rule: str, options: FormatOptions = CSV, **more: Any) -> Case:
    """A file that is refused."""
    data = content.encode() if isinstance(content, str) else content
    return Case(topic, what, lambda: [data], options, broken={None: [rule]}, **more)


def _loaded(
    topic: str, what: str, content: str | bytes, silver: int, options: FormatOptions = CSV, **more: Any
) -> Case:
    data = content.encode() if isinstance(content, str) else content
    return Case(topic, what, lambda: [data], options, silver, **more)


def _row(topic: str, what: str, line: str, *rules: str, **more: Any) -> Case:
    """A good row, then the case in line 3."""
    content = (HEADER + bar("GOOD") + line).encode()
    return Case(topic, what, lambda: [content], silver=1, broken={3: rules}, **more)


def _value(what: str, column: str, value: str, rule: str) -> Case:
    return _row("Values", what, bar(**{column: value}), rule)


def _unseen(what: str, identifier: str) -> Case:
    """A booking as `T1`, then one whose identifier can be taken for it, in line 3."""
    content = (BOOKINGS + booking(1) + booking(1).replace("T1", identifier, 1)).encode()
    rules = ["transaction_id_is_visible"]
    return Case(IDENTIFIERS, what, lambda: [content], silver=1, broken={3: rules}, dataset="transactions")


def _seen(what: str, identifier: str) -> Case:
    content = BOOKINGS + booking(1) + booking(1).replace("T1", identifier, 1)
    values = {"transaction_id": ["T1", identifier]}
    return _loaded(IDENTIFIERS, what, content, 2, dataset="transactions", values=values)


def _json_number(what: str, text: str) -> Case:
    """A good record, then one whose close is this JSON number, which does not read."""
    bad = _json({"symbol": "BBB"}).replace(b'"close":"2"', f'"close":{text}'.encode())
    return Case("Values", what, lambda: [_json({}) + bad], JSON, 1, {2: ["close_is_typed"]})


def _bomb(what: str, make: Callable[[], bytes], options: FormatOptions, **limits: int) -> Case:
    held = ReadLimits(**limits)
    return Case("Bombs", what, lambda: [make()], options, broken={None: ["file_is_within_limits"]}, limits=held)


def _files() -> list[Case]:
    topic = "Empty and cut off"
    cut = gzip.compress(TWO.encode() * 50)[:-20]
    trailer = CsvOptions(trailer=r"T,(?P<rows>\d+)")
    return [
        _file(topic, "0 bytes", b"", "file_is_not_empty"),
        _file(topic, "0 bytes, compressed", gzip.compress(b""), "file_is_not_empty"),
        _file(topic, "only a byte order mark", b"\xef\xbb\xbf", "file_is_not_empty"),
        _file(topic, "only blank lines", "\n\r\n\n", "file_is_not_empty"),
        _loaded(topic, "CSV of a header only (no rows)", HEADER, 0),
        _loaded(topic, "JSON: an empty array (no rows)", b"[]", 0, JSON),
        _file(topic, "only blank lines, JSON", b"\n\n", "file_is_not_empty", JSON),
        _loaded(topic, "Parquet without rows", bombs.no_rows(tuple(_BAR)), 0, PARQUET),
        Case(
            topic,
            "CSV cut in the middle of a row",
            lambda: [TWO[:-20].encode()],
            silver=1,
            broken={3: ["row_has_all_fields"]},
        ),
        _loaded(topic, "CSV cut inside its last number (only a control line can tell)", TWO[:-2], 2),
        _file(topic, "the same where a control line is agreed", TWO[:-2], "file_matches_its_trailer", trailer),
        _file(topic, "CSV cut inside a quoted field", TWO + 'CCC,"2025-01', "quotes_are_closed"),
        Case(topic, "JSON lines cut in the middle of a line", lambda: [LINES[:-20]], JSON, 1, {2: ["line_is_json"]}),
        _file(topic, "JSON array cut off", ARRAY[:-20], "file_is_complete", JSON),
        _file(topic, "Parquet cut off", _parquet()[:-20], "file_is_readable", PARQUET),
        _file(topic, "gzip cut off", cut, "file_is_complete"),
        _file(topic, "zstd cut off", zstandard.compress(TWO.encode() * 50)[:-2], "file_is_complete"),
        _file(topic, "zip cut off", zipped(("a", TWO.encode() * 50))[:-30], "file_is_readable"),
    ]


def _damage() -> list[Case]:
    topic = "Damaged"
    checked = _parquet(write_page_checksum=True)
    stored = b"\x03\0\0\0BBB"  # in the page; the footer has it as a statistic
    gzipped = gzip.compress(TWO.encode())
    records, under = JsonOptions(records="items"), b'"items":' + ARRAY
    return [
        _file(
            topic,
            "Parquet with a flipped bit, pages with checksums",
            _flipped(checked, checked.index(stored) + 4),
            "file_is_readable",
            PARQUET,
        ),
        _loaded(
            topic,
            "the same without checksums, in a value (cannot be seen: ask senders for `write_page_checksum`)",
            _flipped(_parquet(), _parquet().index(stored) + 4),
            2,
            PARQUET,
            values={"symbol": ["AAA", "CBB"]},
        ),
        _file(
            topic,
            "Parquet with a flipped bit in its footer",
            _flipped(_parquet(), len(_parquet()) - 5),
            "file_is_readable",
            PARQUET,
        ),
        _file(topic, "gzip with a flipped bit", _flipped(gzipped, 30), "file_is_readable"),
        _file(topic, "gzip with bytes after its end", gzipped + b"tail", "file_is_readable"),
        _row(topic, "a NUL byte in a row", bar(symbol="A\0A"), "text_has_no_nul"),
        _file(topic, "a NUL byte in the header", TWO.replace("open", "op\0en"), "file_is_readable"),
        _file(topic, "nothing but NUL bytes", bytes(1000), "file_is_readable"),
        Case(topic, "JSON: a line that is no JSON", lambda: [LINES + b"oops\n"], JSON, 2, {3: ["line_is_json"]}),
        Case(topic, "JSON: a line that is no object", lambda: [LINES + b"[1]\n"], JSON, 2, {3: ["line_is_object"]}),
        Case(
            topic,
            "JSON: a key twice in one object",
            lambda: [LINES + LINES[:-2].splitlines()[0][:-1] + b',"open":"9"}\n'],
            JSON,
            2,
            {3: ["line_has_unique_keys"]},
        ),
        _loaded(topic, "JSON: records with nothing between them", LINES.replace(b"\n", b""), 2, JSON),
        _loaded(topic, "JSON: two records on a line", LINES.replace(b"}\n{", b"} {") + _json({"symbol": "C"}), 3, JSON),
        _loaded(topic, "JSON: commas between the records, no brackets", LINES.replace(b"}\n{", b"},{"), 2, JSON),
        _loaded(topic, "JSON: an array without commas", b"[" + LINES + b"]", 2, JSON),
        _loaded(topic, "JSON: a record on one line, then one over many", LINES.replace(b"\n{", b"\n{\n "), 2, JSON),
        _loaded(topic, "JSON: a record over many lines", LINES.replace(b",", b",\n  "), 2, JSON),
        _file(
            topic, "the same, cut in the middle of a record", LINES.replace(b",", b",\n")[:-9], "file_is_complete", JSON
        ),
        _file(topic, "JSON: damage around the records", b'{"n":tru,' + under + b"}", "file_is_readable", records),
        _file(topic, "JSON: the records twice", b"{" + under + b"," + under + b"}", "file_is_readable", records),
        Case(
            topic,
            "JSON: an escaped NUL in a value",
            lambda: [LINES + _json({"symbol": "A\\u0000"})],
            JSON,
            2,
            {3: ["text_has_no_nul"]},
        ),
    ]


def _encodings() -> list[Case]:
    topic, rule = "Encodings and line ends", "file_is_in_declared_encoding"
    latin = CsvOptions(encoding="latin-1")
    text = BOOKINGS + booking(1, "Müller") + booking(2, "Genève")
    mixed = (BOOKINGS + booking(1, "Müller")).encode() + booking(2, "Genève").encode("latin-1")
    booked: dict[str, Any] = {"dataset": "transactions"}
    return [
        _loaded(topic, "UTF-8 with a byte order mark", TWO.encode("utf-8-sig"), 2),
        _loaded(topic, "UTF-16, declared", TWO.encode("utf-16"), 2, CsvOptions(encoding="utf-16")),
        _file(topic, "UTF-16, not declared", TWO.encode("utf-16"), rule),
        _file(topic, "UTF-16 without a byte order mark, not declared", TWO.encode("utf-16-le"), "file_is_readable"),
        _file(topic, "UTF-8 where UTF-16 is declared", TWO, rule, CsvOptions(encoding="utf-16")),
        _loaded(
            topic,
            "Latin-1, declared",
            text.encode("latin-1"),
            2,
            latin,
            **booked,
            values={"description": ["Müller", "Genève"]},
        ),
        _file(topic, "Latin-1, not declared", text.encode("latin-1"), rule, **booked),
        _file(topic, "one line in Latin-1 among UTF-8", mixed, rule, **booked),
        _loaded(
            topic,
            "UTF-8 where Latin-1 is declared (every byte is a Latin-1 letter: `MÃ¼ller`)",
            text,
            2,
            latin,
            **booked,
            values={"description": ["MÃ¼ller", "GenÃ¨ve"]},
        ),
        _loaded(topic, "line ends CRLF", TWO.replace("\n", "\r\n"), 2),
        _loaded(topic, "line ends CR only", TWO.replace("\n", "\r"), 2),
        _loaded(topic, "line ends CR only, JSON lines", LINES.replace(b"\n", b"\r"), 2, JSON),
        _loaded(
            topic,
            "line ends CR only, JSON records over many lines",
            LINES.replace(b"\n", b"\r").replace(b",", b",\r"),
            2,
            JSON,
        ),
        _row(topic, "a byte order mark in the middle", bar("\ufeffAAA"), "symbol_is_well_formed"),
        Case(
            topic,
            "JSON: half a surrogate pair",
            lambda: [LINES + _json({"symbol": "\\ud800"})],
            JSON,
            2,
            {3: ["line_is_json"]},
        ),
        _loaded(
            topic, "line ends mixed", HEADER.replace("\n", "\r") + bar("AAA").replace("\n", "\r\n") + bar("BBB"), 2
        ),
    ]


def _rows() -> list[Case]:
    topic = "Rows and quotes"
    multiline = BOOKINGS + booking(1, '"first\nsecond\r\nthird"') + booking(2)
    big = BOOKINGS + booking(1, "x" * 10_000_000)
    stray = BOOKINGS + booking(1) + booking(2, '"Rent for flat 12 J') + booking(3) + booking(4) + booking(5, 'pipe 5"')
    doubtful = stray.replace("12 J", "12 J\nsee\nyour\nletter")
    booked: dict[str, Any] = {"dataset": "transactions"}
    return [
        _row(topic, "a row with a field too few", bar().rpartition(",")[0] + "\n", "row_has_all_fields"),
        _row(topic, "a row with a field too many", bar().strip() + ",7\n", "row_has_all_fields"),
        _loaded(topic, "blank lines between rows", HEADER + "\n" + bar("AAA") + "\r\n\n" + bar("BBB"), 2),
        Case(
            topic,
            "a quote that is never closed, and records behind it",
            lambda: [(HEADER + bar('"AAA') + bar("BBB")).encode()],
            silver=1,
            broken={2: ["quotes_are_closed"]},
        ),
        Case(
            topic,
            "a quote that is never closed, and some lines below another that would close it",
            lambda: [stray.encode()],
            silver=4,
            broken={3: ["quotes_are_closed"]},
            values={"description": [None, None, None, 'pipe 5"']},
            **booked,
        ),
        _loaded(
            topic,
            "the same where `multiline: trusted` is declared: all between the quotes is text",
            stray,
            2,
            CsvOptions(multiline="trusted"),
            values={"description": [None, stray.partition('"')[2].rpartition('"')[0]]},
            **booked,
        ),
        Case(
            topic,
            "the same, a text among them that may be several lines: nobody can tell, all of it",
            lambda: [doubtful.encode()],
            silver=1,
            broken={3: ["quotes_are_closed"]},
            **booked,
        ),
        Case(
            topic,
            "a text of two lines of which the last looks like a record: nobody can tell, all of it",
            lambda: [(BOOKINGS + booking(1) + booking(2, '"see also') + booking(3, 'pipe 5"')).encode()],
            silver=1,
            broken={3: ["quotes_are_closed"]},
            **booked,
        ),
        Case(
            topic,
            "a text over several lines whose quotes are not doubled, each of its lines",
            lambda: [(BOOKINGS + booking(1, '"pipe 5"\nsee above"') + booking(2)).encode()],
            silver=1,
            broken={2: ["quotes_are_closed"], 3: ["quotes_are_closed"]},
            **booked,
        ),
        _row(topic, "text after a closing quote", bar('"AAA"x'), "quotes_are_closed"),
        _loaded(
            topic,
            "a quote inside an unquoted field is text",
            BOOKINGS + booking(1, '5" pipe'),
            1,
            **booked,
            values={"description": ['5" pipe']},
        ),
        _loaded(
            topic,
            "line ends inside a quoted field",
            multiline,
            2,
            **booked,
            values={"description": ["first\nsecond\r\nthird", None]},
        ),
        _loaded(topic, "a field of 10 MB", big, 1, **booked),
        _file(topic, "a field of 20 MB", BOOKINGS + booking(1, "x" * 20_000_000), "file_is_within_limits", **booked),
        _row(topic, "a symbol of 10 MB", bar("A" * 10_000_000), "symbol_is_well_formed"),
        _loaded(
            topic,
            "formula text (`=cmd|...`) stays text",
            BOOKINGS + booking(1, "=cmd|'/C calc'!A0"),
            1,
            **booked,
            values={"description": ["=cmd|'/C calc'!A0"]},
        ),
        _row(topic, "formula text in a symbol", bar("=1+1"), "symbol_is_well_formed"),
        _row(topic, "a symbol with a Cyrillic А", bar("\u0410AA"), "symbol_is_well_formed"),
        _row(topic, "a symbol with an invisible character", bar("AA\u200b"), "symbol_is_well_formed"),
    ]


def _values() -> list[Case]:
    typed, present = "close_is_typed", "close_is_present"
    null_texts = SenderFormat(null_texts=("N/A", "null"))
    zurich = SenderFormat(Dialect(time_zone="Europe/Zurich"))
    booked = '{"transaction_id":"T1","account_id":"A","timestamp":"2025-01-15T10:00:00Z","currency":"EUR",'
    return [
        *(_value(f"`{text}` as a price", "close", text, typed) for text in ("NaN", "inf", "-Infinity", "null", "N/A")),
        _row(
            "Values",
            "`N/A` where the institution file names it as no value",
            bar(close="N/A"),
            present,
            sender=null_texts,
        ),
        _value("no price", "close", "", present),
        _value("quoted empty text as a price", "close", '""', typed),
        _value("a price beyond the type", "close", "12345678901", typed),
        _value("a volume beyond the type", "volume", str(2**63), "volume_is_typed"),
        _value("a volume with a fraction", "volume", "10.5", "volume_is_typed"),
        _loaded(
            "Values",
            "a volume like `10.0` or `1e3`",
            HEADER + bar("AAA", volume="10.0") + bar("BBB", volume="1e3"),
            2,
            values={"volume": [10, 1000]},
        ),
        _value("more decimals than the contract", "close", "2.123456789", typed),
        _loaded("Values", "surplus decimals that are zeros", HEADER + bar(close="2.5000000000000"), 1),
        _value("a decimal comma that is not declared", "close", '"2,5"', typed),
        _value("thousands marks that are not declared", "close", '"1,002"', typed),
        _value("digits of another script", "close", "\u0662", typed),
        _value("full-width digits", "close", "\uff12", typed),
        _row(
            "Values",
            "thousands marks in the wrong places (`1.23.456`)",
            bar(volume="1.23.456"),
            "volume_is_typed",
            sender=SenderFormat(Dialect(decimal=",", thousands=".")),
        ),
        _json_number("JSON: a number beyond every type (`1e400`)", "1e400"),
        _json_number("JSON: a number of more decimals than the contract", "0.1234567890123456789"),
        _loaded(
            "Values",
            "JSON: a number of 18 digits stays exact",
            booked + '"type":"deposit","amount":12345678901234.5678}',
            1,
            JSON,
            dataset="transactions",
            values={"amount": [Decimal("12345678901234.5678")]},
        ),
        _value("a hexadecimal number", "close", "0x2", typed),
        _value("a two-digit year", "timestamp", "25-01-15T10:00:00Z", "timestamp_is_typed"),
        _value("month 13", "timestamp", "2025-13-15T10:00:00Z", "timestamp_is_typed"),
        _value("30 February", "timestamp", "2025-02-30T10:00:00Z", "timestamp_is_typed"),
        _value("second 60", "timestamp", "2025-01-15T10:00:60Z", "timestamp_is_typed"),
        _value("nanoseconds that are not zero", "timestamp", "2025-01-15T10:00:00.000000001Z", "timestamp_is_typed"),
        *(
            _row(
                "Values",
                what,
                bar(timestamp=text),
                "timestamp_is_typed",
                sender=zurich,
            )
            for what, text in [
                ("a local time that the clocks skip", "2025-03-30T02:30:00"),
                ("a local time that the clocks repeat", "2025-10-26T02:30:00"),
            ]
        ),
        _value("a spreadsheet's day number", "timestamp", "45672", "timestamp_is_typed"),
        Case(
            "Values",
            "a date without separators that lost a zero (`2025115`)",
            lambda: [(HEADER + bar(timestamp="20250115 1000") + bar("BBB", timestamp="2025115 1000")).encode()],
            silver=1,
            broken={3: ["timestamp_is_typed"]},
            sender=SenderFormat(Dialect(datetime_formats=("%Y%m%d %H%M",))),
        ),
        _value("a day in no declared order", "timestamp", "15/01/2025 10:00", "timestamp_is_typed"),
        _loaded("Values", "`NA` is a ticker", HEADER + bar("NA"), 1, values={"symbol": ["NA"]}),
        _loaded(
            "Values",
            "leading zeros survive",
            BOOKINGS + booking().replace("ACC-1", "007"),
            1,
            dataset="transactions",
            values={"account_id": ["007"]},
        ),
        _loaded(
            "Values",
            "quoted empty text stays text, no text is no value",
            BOOKINGS + booking(1, '""') + booking(2),
            2,
            dataset="transactions",
            values={"description": ["", None]},
        ),
        _value("another business date", "timestamp", "2025-01-12T10:00:00Z", "timestamp_is_in_business_date"),
    ]


def _identifiers() -> list[Case]:
    booked = (
        b'{"transaction_id":"T1","account_id":"A","timestamp":"2025-01-15T10:00:00Z","amount":5,"currency":"EUR",'
        b'"type":"deposit"}\n'
    )
    return [
        _unseen("a zero-width space behind an identifier", "T1\u200b"),
        _unseen("a byte order mark inside an identifier", "T\ufeff1"),
        _unseen("a no-break space behind an identifier", "T1\u00a0"),
        _unseen("a soft hyphen inside an identifier", "T\u00ad1"),
        _unseen("a right-to-left mark before an identifier", "\u200fT1"),
        _unseen("a right-to-left override around an identifier", "\u202eT1\u202c"),
        _unseen("a tabulator behind an identifier", "T1\t"),
        _unseen("a line end behind an identifier", '"T1\n"'),
        _unseen("an escape character inside an identifier", "T\x1b1"),
        _unseen("a line separator inside an identifier", "T\u20281"),
        _unseen("an ideographic space inside an identifier", "T\u30001"),
        _unseen("a variation selector behind an identifier", "T1\ufe0f"),
        _unseen("a private character behind an identifier", "T1\ue000"),
        _unseen("a code point that is no character behind an identifier", "T1\uffff"),
        _unseen("a blank before an identifier", " T1"),
        _unseen("a blank behind an identifier", "T1 "),
        Case(
            IDENTIFIERS,
            "JSON: an escaped zero-width space behind an identifier",
            lambda: [booked + booked.replace(b"T1", b"T1\\u200b", 1)],
            JSON,
            1,
            {2: ["transaction_id_is_visible"]},
            dataset="transactions",
        ),
        Case(
            IDENTIFIERS,
            "JSON: whole identifiers as numbers with a fraction or an exponent become their digits",
            lambda: [booked.replace(b'"T1"', b"1001.0") + booked.replace(b'"T1"', b"1e3")],
            JSON,
            2,
            dataset="transactions",
            values={"transaction_id": ["1001", "1000"]},
        ),
        Case(
            IDENTIFIERS,
            "JSON: an identifier as a number from 2^53 on, with an exponent",
            lambda: [booked + booked.replace(b'"T1"', b"1.2345678901234568e16")],
            JSON,
            1,
            {2: ["transaction_id_is_typed"]},
            dataset="transactions",
        ),
        Case(
            IDENTIFIERS,
            "a zero-width space behind an account",
            lambda: [(BOOKINGS + booking(1) + booking(2).replace("ACC-1", "ACC-1\u200b")).encode()],
            silver=1,
            broken={3: ["account_id_is_well_formed"]},
            dataset="transactions",
        ),
        _seen("a plain identifier", "T2"),
        _seen("an identifier with a blank between others", "T 1"),
        _seen("an identifier with letters and marks of other scripts", "é-Ж-株-हि-1"),
    ]


def _currencies() -> list[Case]:
    """A code counts while it was in use on the business date, whatever became of it later."""
    topic = "Currencies"

    def case(what: str, code: str, **verdict: Any) -> Case:
        content = (BOOKINGS + booking(1) + booking(2).replace("EUR", code)).encode()
        return Case(topic, what, lambda: [content], dataset="transactions", **verdict)

    refused: dict[str, Any] = {"silver": 1, "broken": {3: ["currency_is_iso_4217"]}}
    return [
        case("a currency that was still in use on the business date (`BGN` in 2025)", "BGN", silver=2),
        case("a currency of another name since (`ANG`, from July 2025 on `XCG`)", "ANG", silver=2),
        case("a currency that was no more in use (`HRK` in 2025)", "HRK", **refused),
        case("a currency that was not yet in use (`XCG` in January 2025)", "XCG", **refused),
        case("a code of no currency", "XXY", **refused),
        case("a currency in small letters", "eur", **refused),
        case("a metal (`XAU`)", "XAU", silver=2),
    ]


def _columns() -> list[Case]:
    topic = "Columns"
    header = HEADER.strip().split(",")
    values = bar().strip().split(",")
    moved = ",".join(header[::-1]) + "\n" + ",".join(values[::-1]) + "\n"
    renamed = TWO.replace("close", "last")
    more = TWO.replace("volume\n", "volume,venue\n").replace(",10\n", ",10,X\n")
    twice = TWO.replace("volume\n", "volume,close\n").replace(",10\n", ",10,2\n")
    return [
        _file(topic, "a column twice", twice, "header_names_are_unique"),
        _file(
            topic, "a column twice, once in capitals", twice.replace(",close\n", ",CLOSE\n"), "columns_are_unambiguous"
        ),
        _file(topic, "a column missing", TWO.replace(",close", ""), "file_has_required_columns"),
        _loaded(topic, "columns in another order", moved, 1, values={"symbol": ["AAA"], "volume": [10]}),
        _loaded(topic, "names in capitals, with blanks around", TWO.replace("close", " CLOSE "), 2),
        _file(topic, "a column renamed", renamed, "file_has_required_columns"),
        _loaded(
            topic,
            "a column renamed and mapped in the institution file",
            renamed,
            2,
            sender=SenderFormat(columns={"last": "close"}),
        ),
        _loaded(topic, "an extra column", more, 2),
        _loaded(topic, "an extra column without a name", more.replace(",venue", ","), 2),
        Case(
            topic,
            "JSON: a key missing in one row",
            lambda: [LINES + LINES[:-2].splitlines()[0].replace(b'"close":"2",', b"")],
            JSON,
            2,
            {3: ["close_is_present"]},
        ),
        _file(
            topic,
            "no header although one is declared (the first row is read as names)",
            TWO.replace(HEADER, ""),
            "header_names_are_unique",
        ),
    ]


def _formats() -> list[Case]:
    topic, rule = "Content that is not what its name says", "file_is_in_declared_format"
    excel = zipped(("[Content_Types].xml", b"<Types/>"), ("xl/workbook.xml", b"<workbook/>"))
    html = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"
    archive = "archive_holds_one_file"
    data = TWO.encode()
    return [
        _file(topic, "an HTML error page as CSV", html, rule),
        _file(topic, "an HTML error page as JSON", html, rule, JSON),
        _file(topic, "an Excel workbook as CSV", excel, rule),
        _file(topic, "Parquet as CSV", _parquet(), rule),
        _file(topic, "JSON as CSV", LINES, rule),
        _file(topic, "CSV as JSON", TWO, rule, JSON),
        _file(topic, "CSV as Parquet", TWO, rule, PARQUET),
        _loaded(topic, "Parquet in gzip, zstd or zip", gzip.compress(_parquet()), 2, PARQUET),
        _file(topic, "PDF as CSV", b"%PDF-1.7\n", rule),
        _loaded(topic, "CSV in gzip, zstd or zip, whatever its name", gzip.compress(data), 2),
        _file(topic, "a zip of several files", zipped(("a", data), ("b", data)), archive),
        _loaded(
            topic,
            "a zip with the files of file managers (`__MACOSX`, `.DS_Store`, `Thumbs.db`)",
            zipped(("d/", b""), ("d/day.csv", TWO.encode()), ("__MACOSX/d/._day.csv", b"\0"), ("d/.DS_Store", b"\0")),
            2,
        ),
        _loaded(
            topic,
            "zstd of several frames, some to be skipped",
            SKIPPED + zstandard.compress(TWO.encode()) + SKIPPED + zstandard.compress(bar("CCC").encode()),
            3,
        ),
        _file(topic, "encrypted Parquet", encrypted_parquet(), "file_is_readable", PARQUET),
        _file(topic, "a zip with `../` in a name", zipped(("../a", data)), archive),
        _file(topic, "an old Excel workbook as CSV", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), rule),
        _file(topic, "gzip inside gzip", gzip.compress(gzip.compress(data)), archive),
        _file(topic, "a zip inside a zip", zipped(("a", zipped(("b", data)))), archive),
        _file(topic, "a zip compressed with LZMA", zipped(("a", data), method=zipfile.ZIP_LZMA), "file_is_readable"),
    ]


def _bombs() -> list[Case]:
    return [
        _bomb("gzip bomb", lambda: gzip.compress(bytes(60_000_000), 1), CSV),
        _bomb("zip bomb", lambda: zipped(("a", bytes(60_000_000))), CSV),
        _bomb("zstd bomb", lambda: zstandard.compress(LINES * 500_000), JSON),
        _bomb("zstd bomb of bad records", lambda: zstandard.compress(b'{"symbol":"A"}\n' * 3_000_000), JSON),
        _bomb(
            "240 KB of JSON records with 9,990 different keys",
            lambda: b"".join(b'{"k%d":1}\n' % (number % 9_990) for number in range(20_000)),
            JSON,
        ),
        _bomb("1,000,000 columns in CSV", lambda: b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n", CSV),
        _bomb(
            "1,000,000 keys in JSON", lambda: b"{" + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}", JSON
        ),
        _bomb("JSON nested 100,000 deep", lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JSON),
        _bomb("JSON array nested 100,000 deep", lambda: b"[" * 100_000 + b"]" * 100_000, JSON),
        _bomb("Parquet of 12,000 columns", bombs.wide, PARQUET),
        _bomb("Parquet: rows x columns beyond the limit", bombs.many_cells, PARQUET, cells=1_000_000),
        _bomb("Parquet: one long text repeated by a dictionary", bombs.repeated_text, PARQUET),
        _bomb(
            "Parquet: one long value of fixed length repeated", bombs.repeated_fixed, PARQUET, decompressed_bytes=2**30
        ),
        _bomb("Parquet: one long text repeated inside lists", bombs.repeated_nested_text, PARQUET),
        _bomb(
            "Parquet: one long text repeated by delta encoding",
            bombs.repeated_prefix,
            PARQUET,
            decompressed_bytes=2**30,
        ),
        _bomb("Parquet: a page header that lies about its size", bombs.lying_page, PARQUET),
    ]


def _market() -> list[Case]:
    topic, highest, lowest = "Prices against each other", "high_is_highest", "low_is_lowest"

    def ohlc(what: str, prices: str, *rules: str) -> Case:
        return _row(
            topic, what, bar(**dict(zip(("open", "high", "low", "close"), prices.split(), strict=True))), *rules
        )

    ranges = [
        ohlc(
            f"{name} {text}",
            " ".join(text.split()[-1] if n == name else "2" for n in ("open", "high", "low", "close")),
            f"{name}_is_in_range",
            *further,
        )
        for name, text, *further in [
            ("open", "below the range: 0.009", lowest),
            ("open", "above the range: 1000000.01", highest),
            ("high", "below the range: 0.009", highest, lowest),
            ("high", "above the range: 1000000.01"),
            ("low", "below the range: 0.009"),
            ("low", "above the range: 1000000.01", highest, lowest),
            ("close", "below the range: 0.009", lowest),
            ("close", "above the range: 1000000.01", highest),
        ]
    ]
    return [
        ohlc("high below open", "3 2 1 1", highest),
        ohlc("high below close", "1 2 1 3", highest),
        ohlc("high below low", "2 1 3 2", highest, lowest),
        ohlc("low above open", "1 4 2 3", lowest),
        ohlc("low above close", "3 4 2 1", lowest),
        *ranges,
        _row(topic, "a negative volume", bar(volume="-1"), "volume_is_not_negative"),
        _loaded(
            topic, "all four prices equal, no volume traded", HEADER + bar(open="2", high="2", low="2", volume="0"), 1
        ),
    ]


def _repeats() -> list[Case]:
    topic = "The same row again"
    one, changed = HEADER + bar("AAA"), HEADER + bar("AAA", close="2.5")
    return [
        _loaded(topic, "twice in one file", one + bar("AAA"), 1, duplicates=1),
        Case(topic, "in two files", lambda: [one.encode()] * 2, silver=1, duplicates=1),
        Case(
            topic,
            "the same key with other values in a later file: the later one wins",
            lambda: [one.encode(), changed.encode()],
            silver=1,
            broken={2: ["row_is_latest_of_its_key"]},
        ),
        Case(
            topic,
            "the same key with other values in one file: the later line wins",
            lambda: [(one + bar("AAA", close="2.5")).encode()],
            silver=1,
            broken={2: ["row_is_latest_of_its_key"]},
        ),
    ]


def _bookings(*, is_int96: bool = False, **columns: pa.Array) -> bytes:
    """A Parquet file of bookings, one for each value of the columns given."""
    rows = len(next(iter(columns.values())))
    booked = dict(zip(BOOKINGS.strip().split(","), booking(1).strip().split(","), strict=True))
    ids = {"transaction_id": [f"T{number}" for number in range(rows)]}
    buffer = io.BytesIO()
    table = pa.table({**{name: [value] * rows for name, value in booked.items()}, **ids, **columns})
    pq.write_table(table, buffer, use_deprecated_int96_timestamps=is_int96)
    return buffer.getvalue()


def _typed() -> list[Case]:
    """What a typed file says of its values, and cannot say."""
    topic = "Types of Parquet files"
    not_text = {2: ["transaction_id_is_typed"]}

    def identifiers(what: str, kind: pa.DataType, *values: float | Decimal, **verdict: Any) -> Case:
        data = _bookings(transaction_id=pa.array(values, kind))
        return Case(topic, what, lambda: [data], PARQUET, dataset="transactions", **verdict)

    def instants(what: str, column: pa.Array, **verdict: Any) -> Case:
        data = _bookings(timestamp=column)
        return Case(topic, what, lambda: [data], PARQUET, dataset="transactions", **verdict)

    def zoned(zone: str) -> pa.Array:
        return pa.array([_TEN], pa.int64()).cast(pa.timestamp("us", zone))

    instant = {"timestamp": [dt.datetime(2025, 1, 15, 10, tzinfo=dt.UTC)]}
    return [
        identifiers(
            "whole identifiers as doubles become their digits", pa.float64(), 1001, 2**53 - 1,
            silver=2, values={"transaction_id": ["1001", "9007199254740991"]},
        ),
        identifiers("identifiers as doubles from 2^53 on", pa.float64(), 1, 2**53, silver=1, broken=not_text),
        identifiers("identifiers as doubles with a fraction", pa.float64(), 1, 1001.5, silver=1, broken=not_text),
        identifiers("identifiers as doubles, `NaN`", pa.float64(), 1, float("nan"), silver=1, broken=not_text),
        identifiers("identifiers as 32-bit floats from 2^24 on", pa.float32(), 1, 2**24, silver=1, broken=not_text),
        identifiers(
            "whole identifiers as decimals become their digits", pa.decimal128(20, 2), Decimal("1001.00"),
            silver=1, values={"transaction_id": ["1001"]},
        ),
        *(
            instants(f"a timestamp whose zone is `{zone}`", zoned(zone), silver=1, values=instant)
            for zone in ("+05:30", "-03:30", "Z", "UTC+01:00", "Europe/Zurich")
        ),
    ]  # fmt: skip


def _int96() -> list[Case]:
    far = pa.array([_TEN, 253_402_300_799_999_999], pa.int64()).cast(pa.timestamp("us"))
    fine = pa.array([_TEN * 1_000, _TEN * 1_000 + 1], pa.int64()).cast(pa.timestamp("ns"))

    def case(what: str, column: pa.Array, *rules: str) -> Case:
        data = _bookings(is_int96=True, timestamp=column)
        what = f"an INT96 timestamp {what}"
        return Case("Types of Parquet files", what, lambda: [data], PARQUET, 1, {2: rules}, dataset="transactions")

    return [
        case("of the year 9999 is what it says", far, "timestamp_is_in_business_date", "timestamp_is_not_in_future"),
        case("with nanoseconds that are not zero", fine, "timestamp_is_typed"),
    ]


CASES: tuple[Case, ...] = tuple(
    case
    for part in (
        _files,
        _damage,
        _encodings,
        _formats,
        _bombs,
        _rows,
        _columns,
        _identifiers,
        _values,
        _market,
        _currencies,
        _typed,
        _int96,
        _repeats,
    )
    for case in part()
)

_INTRODUCTION = """\
# What a file or a row gets

A **row** that cannot be read or breaks a rule goes to quarantine alone, with its line, its raw text and the rule; the
other rows of the file are loaded. A **file** that cannot be trusted as a whole is refused: none of its rows is loaded,
and the partition is not published until the sender delivers it anew or the institution file says how to read it.
Its content decides what a file is, never its name. Nothing is guessed, rounded or dropped.

Below, for `prices` and `transactions`, every case that the tests hold; other datasets have their own
[rules](contracts/), the same for every format. What an institution file can say about them: [senders](senders.md).
"""


def page() -> str:
    """The page for users: every case with its verdict."""
    parts = [_INTRODUCTION]
    for topic in dict.fromkeys(case.topic for case in CASES):
        rows = [
            f"| {case.what.replace('|', chr(92) + '|')} | {case.verdict} |" for case in CASES if case.topic == topic
        ]
        parts.append("\n".join([f"## {topic}\n", "| what arrives | what becomes of it |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")

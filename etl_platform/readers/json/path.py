"""The way through a JSON document to the array of records, and from its end to the end of the document.

Belongs here: what stands around the records. Not here: cutting them (`lines.py`), their content (`pairs.py`).
What stands there is walked token by token and must be JSON: whoever reads on after damage may miss records behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from etl_platform.readers.json.text import loads_or_none
from etl_platform.readers.source import Source

BLANKS = b" \t\r\n\xef\xbb\xbf"
_PIECE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?P<closing>"?)|[{}\[\],:]', re.DOTALL)
_SCALAR = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_KEY, _STRING, _OTHER, _OPEN, _OPEN_ARRAY = b"key", b'"', b"0", b"{", b"["
_ENDS_VALUE = (_STRING, _OTHER, b"}", b"]")
_CLOSES = {b"}": _OPEN, b"]": _OPEN_ARRAY}


@dataclass
class DocumentPath:
    """Walks the document around the records, token by token, until the array at `wanted` opens."""

    source: Source
    wanted: tuple[str, ...]
    matched: int = 0
    key: str | None = None
    string: bytes = b""
    last: bytes = b""
    brackets: list[bytes] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """Brackets that are open."""
        return len(self.brackets)

    def walk(self, data: bytes, *, to_end: bool) -> tuple[int, bool]:
        """Walk to the array's opening bracket, or with `to_end` to the end of the document.

        Returns how much of `data` is settled, and whether the goal is reached.
        """
        used = 0
        for piece in _PIECE.finditer(data):
            token = piece.group()
            self._take_scalar(data[used : piece.start()])
            if token[:1] == _STRING and not piece["closing"]:
                return piece.start(), False
            used = piece.end()
            self._take(token[:1] if token[:1] == _STRING else token)
            if not to_end and token == _OPEN_ARRAY and self._is_here():
                return used, True
            self._step(token)
            if to_end and token == b":" and self._is_repeated():
                raise self._damaged(f"a second {self.key!r} after the records", "each key once")
            if to_end and self.depth <= 0:
                return used, True
        return used, False

    def leave_array(self) -> None:
        """The array of the records is closed."""
        self.last = b"]"

    def _take_scalar(self, text: bytes) -> None:
        bare = text.strip(BLANKS)
        if not bare:
            return
        if not _SCALAR.fullmatch(bare):
            raise self._damaged(f"{bare[:100].decode(errors='replace')!r} around the records")
        self._take(_OTHER)

    def _take(self, kind: bytes) -> None:
        """Hold one token against the one before it."""
        inside = self.brackets[-1] if self.brackets else b""
        if kind == b":":
            allowed = self.last == _KEY
        elif kind in (b",", *_CLOSES):
            ends = self.last in _ENDS_VALUE or (kind != b"," and self.last == _CLOSES[kind])
            allowed = ends and inside in ((_OPEN, _OPEN_ARRAY) if kind == b"," else (_CLOSES[kind],))
        elif inside == _OPEN and self.last in (_OPEN, b","):
            allowed, kind = kind == _STRING, _KEY
        else:
            begins = {b"": b"", _OPEN: b":"}.get(inside)
            allowed = self.last == begins or (inside == _OPEN_ARRAY and self.last in (_OPEN_ARRAY, b","))
        if not allowed:
            raise self._damaged(f"a {kind.decode()} that stands out of place around the records")
        self.last = kind

    def _step(self, token: bytes) -> None:
        if token in (_OPEN, _OPEN_ARRAY):
            if token == _OPEN and self._is_on_path():
                self.matched += 1
            self.brackets.append(token)
            self.key = None
            if self.depth > self.source.limits.json_depth:
                raise too_deep(self.source)
        elif token in _CLOSES:
            self.brackets.pop()
            self.key = None
            self.matched = min(self.matched, self.depth)
        elif token == b":":
            self.key = loads_or_none(self.string.decode()) if self.depth == self.matched else None
        elif token == b",":
            self.key = None
        else:
            self.string = token

    def _is_on_path(self) -> bool:
        if self.depth != self.matched or self.depth >= max(len(self.wanted), 1):
            return False
        return self.depth == 0 or self.key == self.wanted[self.depth - 1]

    def _is_here(self) -> bool:
        levels = len(self.wanted)
        return self.depth == self.matched == levels and (not levels or self.key == self.wanted[-1])

    def _is_repeated(self) -> bool:
        """Whether the key leads to the records, once more: theirs would be passed over."""
        return 0 < self.depth == self.matched and self.key == self.wanted[self.depth - 1]

    def _damaged(self, found: str, expected: str = "one JSON document") -> Exception:
        return self.source.refusal("file_is_readable", found, expected)


def too_deep(source: Source) -> Exception:
    """The refusal of a document nested beyond the limit."""
    limit = source.limits.json_depth
    return source.beyond(f"values nested more than {limit} deep", f"{limit} at most")

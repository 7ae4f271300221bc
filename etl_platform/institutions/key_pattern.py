"""Landing key patterns: `{institution}/{dataset}/{date:%Y-%m-%d}/...` to and from keys.

`{institution}` and `{dataset}` stand for the code and the dataset's name, `{date:FORMAT}` for the business date
(strftime codes %Y %m %d %j %H %M %S; one that comes twice must say the same twice), any other `{name}` for one path
part or a piece of it, captured under that name, and a final `...` for whatever follows (at least one character).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

_PIECE = re.compile(r"\{(?P<name>[a-z][a-z0-9_]*)(?::(?P<format>[^{}]+))?\}|(?P<tail>\.\.\.)|(?P<text>[^{}.]+|\.|[{}])")
_DATE_CODES = {
    "%Y": "[0-9]{4}",
    "%m": "[0-9]{2}",
    "%d": "[0-9]{2}",
    "%j": "[0-9]{3}",
    "%H": "(?:[01][0-9]|2[0-3])",
    "%M": "[0-5][0-9]",
    "%S": "[0-5][0-9]",
}
_CODE = re.compile("(%.)")
_TIME_OF_DAY = re.compile("%[HMS]")


@dataclass(frozen=True)
class KeyMatch:
    """What a key says: dataset, business date and captured names (`symbol`, ...)."""

    dataset: str
    business_date: dt.date
    captured: dict[str, str]


@dataclass(frozen=True)
class KeyPattern:
    """One compiled pattern. Raises ValueError, with found and expected, when the text is no pattern."""

    text: str

    def __post_init__(self) -> None:
        names = [p["name"] for p in self._pieces if p["name"]]
        if names.count("date") != 1:
            raise ValueError(f"found {self.text!r}; expected exactly one {{date:FORMAT}}, e.g. {{date:%Y-%m-%d}}")
        for name in set(names):
            if names.count(name) > 1:
                raise ValueError(f"found {{{name}}} twice in {self.text!r}; expected each name once")
        if any(p["tail"] for p in self._pieces[:-1]) or any(p["text"] in ("{", "}") for p in self._pieces):
            raise ValueError(f"found {self.text!r}; expected {{name}} parts and at most one '...', at the end")
        if self.text.startswith("/"):
            raise ValueError(f"found a leading '/' in {self.text!r}; expected a key relative to the landing root")
        for piece in self._pieces:
            if piece["name"] == "date":
                self._date_regex(piece["format"] or "")
            elif piece["format"]:
                raise ValueError(f"found {{{piece['name']}:{piece['format']}}}; expected a format on {{date}} only")

    @cached_property
    def _pieces(self) -> list[dict[str, str | None]]:
        return [m.groupdict() for m in _PIECE.finditer(self.text)]

    def _date_regex(self, date_format: str) -> str:
        parts = _CODE.split(date_format)
        unknown = [p for p in parts if p.startswith("%") and p not in _DATE_CODES]
        if unknown:
            raise ValueError(f"found {unknown[0]!r} in {self.text!r}; expected {' '.join(_DATE_CODES)}")
        codes = {p for p in parts if p.startswith("%")}
        if not ({"%Y", "%m", "%d"} <= codes or {"%Y", "%j"} <= codes):
            raise ValueError(f"found {{date:{date_format}}}; expected year, month and day, e.g. {{date:%Y-%m-%d}}")
        out = []
        for number, part in enumerate(parts):
            if part not in _DATE_CODES:
                out.append(re.escape(part))
            else:
                # Upper case keeps these apart from captured names.
                group = f"DATE_{part[1]}"
                out.append(f"(?P={group})" if part in parts[:number] else f"(?P<{group}>{_DATE_CODES[part]})")
        return "".join(out)

    @cached_property
    def names(self) -> frozenset[str]:
        """The captured names beyond institution, dataset and date."""
        return frozenset(p["name"] for p in self._pieces if p["name"]) - {"institution", "dataset", "date"}

    @cached_property
    def has_dataset(self) -> bool:
        """Whether the key itself names the dataset."""
        return any(p["name"] == "dataset" for p in self._pieces)

    @lru_cache(maxsize=10_000)  # noqa: B019 - a pattern is its text; there are as many as institutions times datasets
    def _regex(self, institution: str, dataset: str | None) -> re.Pattern[str]:
        out = []
        for piece in self._pieces:
            if piece["tail"]:
                out.append(".+")
            elif piece["name"] == "institution":
                out.append(re.escape(institution))
            elif piece["name"] == "dataset":
                out.append(re.escape(dataset) if dataset else r"(?P<dataset>[^/]+)")
            elif piece["name"] == "date":
                out.append(self._date_regex(piece["format"] or ""))
            elif piece["name"]:
                out.append(f"(?P<{piece['name']}>[^/]+?)")
            else:
                out.append(re.escape(piece["text"] or ""))
        return re.compile("".join(out), re.DOTALL)

    def match(self, key: str, institution: str, dataset: str | None = None) -> KeyMatch | None:
        """What `key` says, or None when it does not fit or its date does not exist.

        `dataset` is the dataset that the pattern belongs to, needed where the key does not name it.
        """
        found = self._regex(institution, dataset).fullmatch(key)
        if found is None:
            return None
        captured = {name: text for name, text in found.groupdict().items() if name.islower()}
        named = captured.pop("dataset", None) or dataset
        date = _date(found.groupdict())
        return KeyMatch(named, date, captured) if named and date else None

    def prefix(self, institution: str, dataset: str | None = None, date: dt.date | None = None) -> str:
        """The longest literal start of every key of this institution (dataset, date): what to list."""
        out = []
        for piece in self._pieces:
            if piece["name"] == "institution":
                out.append(institution)
            elif piece["name"] == "dataset" and dataset:
                out.append(dataset)
            elif piece["name"] == "date" and date:
                start = _TIME_OF_DAY.split(piece["format"] or "")
                out.append(date.strftime(start[0]))
                # The time of day of a delivery is not known beforehand.
                if len(start) > 1:
                    break
            elif piece["text"]:
                out.append(piece["text"])
            else:
                break
        return "".join(out)

    def render(self, institution: str, dataset: str, date: dt.date, file: str, /, **captured: str) -> str:
        """A key of this pattern; `file` takes the place of `...`."""
        out = []
        for piece in self._pieces:
            if piece["tail"]:
                out.append(file)
            elif piece["name"]:
                values = {
                    "institution": institution,
                    "dataset": dataset,
                    "date": date.strftime(piece["format"] or ""),
                    "file": file,
                }
                out.append({**values, **captured}[piece["name"]])
            else:
                out.append(piece["text"] or "")
        return "".join(out)


def _date(groups: Mapping[str, str | None]) -> dt.date | None:
    """The day that the date codes of a match name; None where it does not exist or they contradict each other."""
    said = {code: int(groups[f"DATE_{code}"] or 0) for code in "Ymdj" if f"DATE_{code}" in groups}
    try:
        if "j" in said:
            date = dt.date(said["Y"], 1, 1) + dt.timedelta(days=said["j"] - 1)
        else:
            date = dt.date(said["Y"], said["m"], said["d"])
    except (ValueError, OverflowError):
        return None
    is_named = {"Y": date.year, "m": date.month, "d": date.day, "j": date.timetuple().tm_yday}
    return date if said.items() <= is_named.items() else None


compile_pattern = lru_cache(maxsize=10_000)(KeyPattern)
"""`KeyPattern(text)`, compiled once: a listing matches every key against every pattern."""

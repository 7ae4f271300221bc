"""Single JSON texts, one by one: only for the few that the vectorised path leaves over.

Belongs here: strict parsing of one text. Not here: anything that runs for every row.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _loads(text: str) -> Any:
    # Numbers stay text: an integer of a million digits would cost minutes.
    return json.loads(text, parse_constant=_refuse_constant, parse_int=str, parse_float=str)


def loads_or_none(text: str) -> Any:
    """The value of a JSON text, numbers as text; None where it is not JSON."""
    try:
        return _loads(text)
    except (ValueError, RecursionError):
        return None


def end_of_object(text: str) -> int:
    """Where the whole JSON object ends with which a text begins; 0 where it begins with none."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=str, parse_float=str)
    try:
        value, end = decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return 0
    return end if isinstance(value, dict) else 0


def object_at(text: str, at: int) -> tuple[int, int]:
    """Where the whole object ends that begins here, and 0; or 0, and where the text stops being one (0: too deep).

    `NaN` and the like are taken for values here: they do not keep an object from being whole.
    """
    try:
        _, end = _SHAPE.raw_decode(text, at)
    except json.JSONDecodeError as error:
        return 0, error.pos
    except RecursionError:
        return 0, 0
    return end, 0


_SHAPE = json.JSONDecoder(parse_constant=str, parse_int=str, parse_float=str)


def unescape(text: str) -> str | None:
    """The string that stands between the quotes; None where an escape is no character (half a surrogate pair)."""
    value = loads_or_none(f'"{text}"')
    return value if isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value) else None


def explain(line: str) -> tuple[str, str]:
    """Rule and reason for a line that is no JSON object."""
    try:
        value = _loads(line)
    except (ValueError, RecursionError) as error:
        return "line_is_json", str(error)
    if isinstance(value, dict):
        return "line_is_json", "not a complete object"
    return "line_is_object", f"{_KINDS.get(type(value), 'a number')}, expected an object"


_KINDS = {list: "an array", str: "a string or number", bool: "true or false", type(None): "null"}

"""How one sender's text stands for values. Here: the description alone; the casts that follow it are in `casts.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """How text stands for values: number marks, date and time formats, and the zone of times without offset."""

    decimal: str = "."
    thousands: str = ""
    datetime_formats: tuple[str, ...] = ()
    date_formats: tuple[str, ...] = ()
    time_zone: str = "UTC"

"""The present. One function, so that everybody's is in UTC."""

from __future__ import annotations

import datetime as dt


def now() -> dt.datetime:
    """The present in UTC."""
    return dt.datetime.now(dt.UTC)

"""Retries for tests: as many attempts as in production, waits of hundredths of a second."""

from __future__ import annotations

from etl_platform.retries import Retries

QUICK = Retries(first_wait_seconds=0.01, longest_wait_seconds=0.05)

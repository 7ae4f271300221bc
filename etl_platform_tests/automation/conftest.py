"""Fixtures of the automation tests."""

from __future__ import annotations

from etl_platform_tests.support.platform import dagster_instance, plain, platform

__all__ = ["dagster_instance", "plain", "platform"]

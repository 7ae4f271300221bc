"""What holds for every test: no ambient configuration, the shared servers as fixtures, which marked tests run.

Belongs here: rules of the whole suite. Not here: fixtures of one topic (`support/<topic>.py`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["etl_platform_tests.support.postgres", "etl_platform_tests.support.s3"]

SNOWFLAKE_OPTION, LONG_OPTION = "--snowflake-account", "--long"
IS_CI = os.environ.get("CI", "").lower() in {"1", "true"}
_AMBIENT_PREFIXES = ("AWS_", "DAGSTER_", "ETL_", "PG")
_LOCAL_HOSTS = "127.0.0.1,localhost"


def _remove_ambient_configuration(*, keep_snowflake: bool) -> None:
    """A developer's credentials and settings must neither help nor hurt a test, nor reach a real account."""
    prefixes = _AMBIENT_PREFIXES if keep_snowflake else (*_AMBIENT_PREFIXES, "SNOWFLAKE_")
    for name in list(os.environ):
        if name.startswith(prefixes) or "_AWS_" in name:
            del os.environ[name]
    os.environ.update(
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        # A company proxy must not stand between the tests and their own servers.
        NO_PROXY=_LOCAL_HOSTS,
        no_proxy=_LOCAL_HOSTS,
    )


_DAGSTER_HOME: pytest.StashKey[str] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(LONG_OPTION, action="store_true", default=IS_CI, help="run tests marked `long` (default: CI=true)")
    parser.addoption(SNOWFLAKE_OPTION, action="store_true", help="run tests that need a real Snowflake account")


def pytest_configure(config: pytest.Config) -> None:
    _remove_ambient_configuration(keep_snowflake=config.getoption(SNOWFLAKE_OPTION))
    home = tempfile.mkdtemp(prefix="dagster-home-")
    config.stash[_DAGSTER_HOME] = home
    os.environ["DAGSTER_HOME"] = home
    (Path(home) / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    # No deadline: the machine is shared. In CI the same examples every time: a failure there repeats here.
    hypothesis.settings.register_profile("local", deadline=None)
    hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
    hypothesis.settings.load_profile("ci" if IS_CI else "local")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[_DAGSTER_HOME], ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    options = {"long": LONG_OPTION, "snowflake_account": SNOWFLAKE_OPTION}
    off = {mark for mark, option in options.items() if not config.getoption(option)}
    deselected = [item for item in items if any(item.get_closest_marker(mark) for mark in off)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in set(deselected)]
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        no_browser = pytest.mark.skip(reason="no Chromium; next step: apt-get install chromium chromium-driver")
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(no_browser)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes stay out of test names: two workers must collect the same names, and a gzip header holds the time."""
    return argname if isinstance(val, bytes) else None

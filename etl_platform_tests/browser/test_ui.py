"""What a person sees in Dagster's UI: the graph, a partition, the check that failed. Screenshots go to the test's
folder (`--basetemp`); three of them are those of the README.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from etl_platform.defs.assemble import build_defs
from etl_platform.settings import Settings, load_settings
from etl_platform_tests.support.platform import DATE, REPOSITORY, Platform, open_instance

pytestmark = [pytest.mark.browser, pytest.mark.long]

SECONDS = 90
"""A cold start of webserver and code location on two busy cores takes about 20."""
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,1000",
)
PARTITION = f"{DATE}|institution_b"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which one partition of three has a file that cannot be read."""
    folder = tmp_path_factory.mktemp("ui")
    with open_instance(folder / "dagster") as instance:
        platform = Platform(Settings(home=folder / "home"), instance)
        platform.generate(rows=300)
        platform.put(f"institution_b/prices/{DATE}/prices-2200.jsonl.gz", b"\x1f\x8b\x08 cut off")
        # The failing one last: the checks page opens with the latest evaluation.
        outcomes = [platform.ingest(f"institution_{letter}").succeeded for letter in "acb"]
        assert outcomes == [True, True, False]
        assert platform.overview().succeeded
    return folder


@pytest.fixture(scope="module")
def webserver(home: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "DAGSTER_HOME": str(home / "dagster"), "ETL_HOME": str(home / "home")}
    command = [sys.executable, "-m", "dagster_webserver", "-m", "etl_platform.definitions", "-h", "127.0.0.1"]
    with (home / "webserver.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "-p", str(port)], env=environment, cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_it_answers(f"{url}/server_info", process)
            yield url
        finally:
            process.terminate()
            process.wait()


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            opener.open(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)  # nobody announces that the port is open
        else:
            return
    pytest.fail(f"the webserver did not answer (exit status {process.poll()})")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(option)
    options.binary_location = "/usr/bin/chromium"
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


Look = Callable[..., str]


@pytest.fixture
def look(webserver: str, browser: webdriver.Chrome, home: Path) -> Look:
    """Open a page, wait until it shows all `texts`, save its screenshot, return its text."""

    def open_page(name: str, path: str, *texts: str, without: str = "") -> str:
        browser.get(webserver + path)
        shows(browser, *texts)
        if without:
            WebDriverWait(browser, SECONDS).until(lambda driver: without not in body(driver))
        (home / "screenshots").mkdir(exist_ok=True)
        browser.save_screenshot(str(home / "screenshots" / f"{name}.png"))
        return body(browser)

    return open_page


def body(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def shows(browser: webdriver.Chrome, *texts: str) -> None:
    try:
        WebDriverWait(browser, SECONDS).until(lambda driver: all(text in body(driver) for text in texts))
    except WebDriverException:
        pytest.fail(f"{[t for t in texts if t not in body(browser)]} not on {browser.current_url}:\n{body(browser)}")


def test_the_graph_shows_the_layers_and_the_assets_of_a_dataset(look: Look) -> None:
    text = look("layers", "/asset-groups", "bronze", "silver", "quarantine", "reconciliation", "gold", "warehouse")
    assert "technical error" not in text.lower()
    path = "/assets/silver/prices?view=lineage&lineageScope=neighbors"
    keys = build_defs(load_settings()).resolve_asset_graph().asset_check_keys
    checks = sum(key.asset_key.path == ["silver", "prices"] for key in keys)
    look("graph", path, "prices", "daily_bars", f"{checks - 1} / {checks} Passed", without="Loading")


def test_a_partition_shows_its_facts(look: Look) -> None:
    path = f"/assets/silver/prices?view=partitions&partition={quote(PARTITION)}"
    text = look("partition", path, PARTITION, "rows_quarantined", "files_refused", "institution_c")
    assert "Materialized" in text


def test_the_failed_check_is_seen_with_its_partition_and_file(look: Look, browser: webdriver.Chrome) -> None:
    path = "/assets/silver/prices?view=checks&checkDetail=every_file_is_readable"
    found = (PARTITION, "1 of 3 files could not be read", "prices-2200.jsonl.gz")
    look("checks", path, "every_file_is_readable", "blocking", "high_is_highest", *found)
    browser.find_element(By.XPATH, "//*[text()='Execution history']").click()
    shows(browser, PARTITION, "Failed")


def test_the_candlesticks_are_a_picture(look: Look, browser: webdriver.Chrome) -> None:
    path = f"/assets/gold/daily_bars?view=partitions&partition={quote(f'{DATE}|institution_a')}"
    look("bars", path, "candlesticks", "Show Markdown")
    browser.find_element(By.XPATH, "(//*[contains(text(),'Show Markdown')])[1]").click()
    image = WebDriverWait(browser, SECONDS).until(
        lambda driver: driver.find_element(By.CSS_SELECTOR, "img[src^='data:image/svg+xml']")
    )
    assert b"<svg" in base64.b64decode(str(image.get_attribute("src")).split(",", 1)[1])
    drawn = WebDriverWait(browser, SECONDS).until(
        lambda driver: driver.execute_script("return arguments[0].naturalWidth", image)
    )
    assert drawn > 0

"""The blocks of `docs/query.md` do what they say, against sample data in every store that they name."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from etl_platform.contracts.table import PartitionKey
from etl_platform.settings import Settings
from etl_platform.stores.postgres.store import PostgresStore
from etl_platform.stores.snowflake.account import SnowflakeAccount, open_session
from etl_platform.stores.snowflake.store import SnowflakeStore
from etl_platform.stores.store import TableStore
from etl_platform_tests.support.platform import DATE, REPOSITORY, Platform, open_instance
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.postgres_store import new_store
from etl_platform_tests.support.quick import QUICK
from etl_platform_tests.support.snowflake import snowflake_emulator, snowflake_server

__all__ = ["snowflake_emulator", "snowflake_server"]

PAGE = (REPOSITORY / "docs" / "query.md").read_text(encoding="utf-8")
NOT_RUN = "<!-- not run by the tests: "


@dataclass(frozen=True)
class Block:
    section: str
    language: str
    text: str
    is_run: bool


def blocks_of(page: str) -> list[Block]:
    found = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        for match in re.finditer(r"^```(\w+)\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE):
            before = section[: match.start()].rstrip().rpartition("\n")[2]
            found.append(Block(name, match[1], match[2], not before.startswith(NOT_RUN)))
    return found


BLOCKS = blocks_of(PAGE)
SERVERS = ("Postgres", "Snowflake")
LOCAL = [block for block in BLOCKS if block.is_run and block.section not in SERVERS]


def of_server(name: str) -> list[str]:
    return [block.text for block in BLOCKS if block.section == name and block.is_run]


def test_every_block_is_run_or_says_why_not() -> None:
    sections = {block.section for block in BLOCKS}
    assert sections >= {"On the command line", "Python", "polars", "pandas", *SERVERS, "DuckDB without the platform"}
    assert len(BLOCKS) == PAGE.count("\n```") // 2 and {block.language for block in LOCAL} == {"sh", "python"}
    assert sum(not block.is_run for block in BLOCKS) == PAGE.count(NOT_RUN) == 2


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The sample of one date, loaded: all of `institution_a`, and what lies across institutions."""
    folder = tmp_path_factory.mktemp("docs")
    with open_instance(folder / "dagster") as instance:
        platform = Platform(Settings(home=folder / "var"), instance)
        platform.generate(rows=60)
        assert platform.ingest("institution_a").succeeded and platform.overview().succeeded
        yield platform
        platform.ledger.close()


@pytest.mark.parametrize("block", LOCAL, ids=lambda block: f"{block.section}: {block.text.split(chr(10))[0][:40]}")
def test_a_block_of_the_page_runs_as_it_stands(sample: Platform, block: Block) -> None:
    """In a process of its own, in the folder that holds `var`."""
    lines = [shlex.split(line) for line in block.text.splitlines()] if block.language == "sh" else []
    commands = [[sys.executable, "-c", "from etl_platform.cli import main; main()", *words[1:]] for words in lines]
    assert all(words[0] == "etl-platform" for words in lines)
    for command in commands or [[sys.executable, "-W", "error::UserWarning:__main__", "-c", block.text]]:
        done = subprocess.run(
            command, cwd=sample.settings.root.parent, capture_output=True, text=True, check=False,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "HOME": str(sample.settings.root)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip(), "it shows something"


def copied(sample: Platform, store: TableStore) -> None:
    """What the sample has published, in another warehouse."""
    keys = [PartitionKey(DATE, "institution_a")]
    lake = sample.resources["lake"].store
    for layer, name, partitions in (
        ("silver", "prices", keys), ("gold", "daily_bars", keys), ("gold", "market_overview", [PartitionKey(DATE)]),
    ):  # fmt: skip
        table = sample.graph.catalog.table(layer, name)
        assert store.replace(table, partitions, lake.read(table, partitions)).rows > 0


def test_the_queries_for_postgres_run_on_postgres(sample: Platform, postgres_database: PostgresDatabase) -> None:
    store: PostgresStore = new_store(postgres_database.url)
    copied(sample, store)
    queries = of_server("Postgres")
    assert len(queries) >= 5
    for sql in queries:
        assert postgres_database.rows(sql.rstrip().removesuffix(";")), sql


def test_the_queries_for_snowflake_run_on_the_emulator(sample: Platform, snowflake_emulator: SnowflakeAccount) -> None:
    store = SnowflakeStore(snowflake_emulator, {"institution_a": "institution_a"}, retries=QUICK)
    copied(sample, store)
    queries = of_server("Snowflake")
    assert len(queries) >= 3
    with open_session(snowflake_emulator, "docs") as session:
        for sql in queries:
            assert session.rows(sql.rstrip().removesuffix(";")), sql

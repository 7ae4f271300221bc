"""How the limits hang together, and that none stands anywhere else.

Belongs here: what must hold between two numbers of `etl_platform/limits.py`, or between one and what the files around
the package say. Not here: that the code keeps to a limit, which its own tests show.
"""

from __future__ import annotations

import ast
import datetime as dt
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._grpc.utils import default_sensor_grpc_timeout

from etl_platform import limits
from etl_platform.institutions.model import Institution
from etl_platform.limits import (
    BATCH_DATES,
    BATCH_FEWEST_DATES,
    BATCH_PARTITION_BYTES,
    BATCH_ROWS,
    BATCH_ROWS_AT_MOST,
    BATCH_RUN_BYTES,
    BOUND_ROWS,
    CAST_CELLS,
    CONNECT_SECONDS,
    CONTENTS_AT_ONCE,
    CONTENTS_BATCH,
    COPIES_HELD_BYTES,
    COPY_HELD_BYTES,
    CSV_BLOCK_BYTES,
    DAEMON_SILENCE_SECONDS,
    DATASET_NAME_CHARACTERS,
    DEATHS_LIMIT,
    DECOMPRESSED_BYTES,
    DECOMPRESSED_RATIO,
    DEFECT_CHARACTERS,
    DIFFERENCES_LISTED,
    DIFFERENCES_NAMED,
    DOWNLOADS_AT_MOST,
    DOWNLOADS_AT_ONCE,
    DRIFT_FEWEST_PARTITIONS,
    DRIFT_PARTITIONS,
    DUCKDB_GROUP_ROWS,
    DUCKDB_JOINED_BYTES,
    DUCKDB_LOOK_SECONDS,
    DUCKDB_WAIT_SECONDS,
    DUE_AT_ONCE,
    ENCODED_ROWS,
    FEW_ROWS,
    FIELD_BYTES,
    FILE_CELLS,
    FILE_COLUMNS,
    FIRST_DELAY,
    FIRST_VALUES,
    FOUND_CHARACTERS,
    HEARTBEAT_EVERY,
    HEARTBEAT_FORGOTTEN,
    HEARTBEAT_SILENCE,
    HISTORY_BATCH_ROWS,
    HISTORY_TEXT_ROWS,
    INFERRED_HEAD_LINES,
    INFERRED_LINES_SHOWN,
    INFERRED_ROWS,
    INT96_BATCH_ROWS,
    JSON_BATCH_CELLS,
    JSON_BEGINNING_BYTES,
    JSON_BLOCK_BYTES,
    LAKE_COLUMNS_AT_ONCE,
    LAKE_GROUP_BYTES,
    LAKE_GROUP_ROWS,
    LAKE_READ_BUFFER_BYTES,
    LAKE_SAMPLE_ROWS,
    LEDGER_CONNECTIONS,
    LEDGER_FURTHER_CONNECTIONS,
    LISTING_PAGE,
    LISTING_SAMPLES,
    LOCK_SECONDS,
    LONGEST_DELAY,
    LONGEST_PAGE_HEADER_BYTES,
    LOOK_FOR_RUN_SECONDS,
    MEMORY_FLOOR_MB,
    MEMORY_SHARE_OF_FREE,
    MEMORY_SHARE_OF_ROWS,
    MESSAGE_CHARACTERS,
    NEAR_KEYS_COMPARED,
    NEAR_KEYS_SHOWN,
    OBJECT_HELD_BYTES,
    OBJECTS_HELD_BYTES,
    OBSERVED_ROWS,
    OVERDUE_AT_ONCE,
    OVERDUE_LOOK_BACK,
    OVERDUE_RUNS,
    OVERDUE_TRIES,
    PAGE_HEADER_BYTES,
    PARQUET_BATCH_BYTES,
    PARQUET_BATCH_CELLS,
    PARQUET_FEWEST_ROWS,
    PARQUET_FOOTER_BYTES,
    PARQUET_LISTED_VALUES,
    PARQUET_PROBE_ROWS,
    PICK_UP_SECONDS,
    POSTGRES_BATCH_BYTES,
    POSTGRES_FIGURES_AT_ONCE,
    PROBE_SECONDS,
    PROBED_BYTES,
    PROCESS_YOUNG_SECONDS,
    PROOF_JOINED_BYTES,
    PROOF_JOINED_ROWS,
    QUESTION_BATCH_ROWS,
    QUESTION_ROWS,
    RATIO_FLOOR_BYTES,
    RAW_CHARACTERS,
    REPLAY_HELD_BYTES,
    RETRY_ATTEMPTS,
    RETRY_FIRST_WAIT_SECONDS,
    RETRY_LONGEST_WAIT_SECONDS,
    RUN_LAUNCH_SECONDS,
    RUN_REQUEST_LOST,
    RUN_START_SECONDS,
    RUNS_AT_ONCE,
    S3_CONNECTIONS,
    S3_PART_BYTES,
    S3_PARTS,
    SENSOR_INTERVAL_SECONDS,
    SENSOR_SECONDS,
    SERVICE_FAILURES_A_DAY,
    SHORT_ROWS,
    SILENCE_SECONDS,
    SMALL_CSV_BYTES,
    SNIFFED_BYTES,
    SNOWFLAKE_FILE_BYTES,
    SNOWFLAKE_GROUP_BYTES,
    SNOWFLAKE_LOCK_SECONDS,
    SNOWFLAKE_LOGIN_SECONDS,
    SNOWFLAKE_NETWORK_SECONDS,
    SNOWFLAKE_STATEMENT_SECONDS,
    SPOOL_HELD_BYTES,
    SPOOL_PIECE_BYTES,
    SQL_NAME_CHARACTERS,
    STAGED_SECONDS,
    STATUS_OBJECTS,
    STATUS_REASONS_SHOWN,
    TABLE_BATCH_BYTES,
    TABLE_BATCH_ROWS,
    TICK_WAITS_SECONDS,
    TOGETHER_BYTES,
    TOGETHER_ROWS,
    TORN_BYTES,
    TRANSACTION_OBJECTS,
    TRANSFER_CHUNK_BYTES,
    UNPACKED_CHUNK_BYTES,
    UPGRADE_SECONDS,
    VALUE_CHARACTERS,
    WAIT_FOR_RUN_SECONDS,
    ZIP_DIRECTORY_BYTES,
)
from etl_platform.readers.options import ReadLimits
from etl_platform.retries import Retries
from etl_platform.settings import Settings
from etl_platform.transforms.silver import SilverPlan

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "etl_platform"
INSTANCES = ("dagster.yaml", "deploy/dagster-postgres.yaml")
MEBIBYTE = 2**20

# Numbers of a module that bound nothing, each kind with its reason. A new limit belongs into limits.py instead.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "made-up data and its examples: nothing of the platform is bounded by them": (
        "cli.demo.*",
        "sample.*",
        "stores.canary.ROWS",
        "contracts.declared.expressions._TRIAL_ROWS",
        "contracts.declared.time_formats._SAMPLE",
    ),
    "the width of charts and tables": (
        "cli.query.WIDTH",
        "cli.session.WIDTH",
        "gold.candlestick.WIDTH, HEIGHT, TOP, BOTTOM, LEFT",
        "gold.candlestick.GRID_LINES",
    ),
    "what a contract says of its data": (
        "contracts.datasets.anomalies.LARGEST",
        "contracts.datasets.isin.LENGTH",
        "contracts.datasets.prices.LOWEST_PRICE, HIGHEST_PRICE",
        "contracts.datasets.products.LOWEST_RISK, HIGHEST_RISK",
        "contracts.datasets.technical_indicators.LARGEST",
    ),
    "exactness: digits and rounding of a number's type": (
        "contracts.declared.exact_expressions._KEPT_DIGITS",
        "contracts.declared.exact_expressions._FURTHER",
        "contracts.declared.exact_expressions._ZEROS",
        "gold.table.ROUNDING",
        "readers.csv.trailer._AMOUNT",
        "readers.parquet.types._MOST_DIGITS",
        "stores.postgres.read._INTEGER_DIGITS",
        "stores.proof.sent.LARGEST",
        "stores.proof.sent.LAST_DIGITS",
        "stores.proof.sent.WIDE",
        "stores.proof.sent._MODULUS",
        "stores.proof.sent._WORD_MODULUS",
        "transforms.cast_numbers._QUICK_EXTRA",
        "transforms.infer_types.HEADROOM, LEAST_PRECISION, MOST_PRECISION",
    ),
    "how a value is judged: thresholds": (
        "drift.columns.SIMILAR",
        "drift.profile.BIN",
        "drift.values.NEAR",
        "drift.values.LARGEST_POWER",
        "drift.values.NOISE",
        "drift.values.FITS, BETTER, CLEARLY",
        "drift.values.ALIKE",
        "transforms.infer_types.FEW_VALUES, ENOUGH_ROWS",
        "transforms.infer_types.CODE_DIGITS",
        "transforms.sender_schema.LOOKS_LIKE",
    ),
    "calendars: the first and last day of a type, hours of a day": (
        "drift.profile.HOURS",
        "readers.parquet.int96._PER_MILLISECOND",
        "readers.parquet.int96._HELD_IN_NANOSECONDS",
        "readers.parquet.int96._CALENDAR",
        "readers.parquet.types._DAYS",
        "stores.postgres.encode._FIRST_DAY",
        "stores.postgres.encode._LAST_DAY",
        "stores.postgres.encode._FIRST_MICROSECOND",
        "stores.proof.compared._DAY",
        "stores.proof.compared._FIRST, _LAST",
        "transforms.overlap._LONGEST_DAY_HOURS",
    ),
    "codes: of formats, characters, exit and server statuses": (
        "cli.interrupts.ENDED",
        "object_store.s3_errors._NOT_IMPLEMENTED",
        "readers.csv.quotes.LF, CR",
        "readers.json.lines._FORBIDDEN",
        "readers.parquet.pages.*",
        "readers.parquet.thrift.*",
        "stores.postgres.roles._INHERIT_SINCE",
        "stores.snowflake.errors.*",
        "transforms.observe.TELLS, READS",
    ),
    "stand for no value at all": (
        "history.dating.UNDATED",
        "ledger.unwell._NO_LIMIT",
        "transforms.overlap._STAYS",
    ),
    "how checks judge a day: they stand with the checks": (
        "pipeline.checks.TRAILING_DAYS",
        "pipeline.silver_judges.FEWEST_DAYS",
        "pipeline.silver_judges.NAMED_FILES",
        "pipeline.silver_judges.USUAL",
    ),
}


@cache
def instance(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((REPOSITORY / name).read_text())
    return content


def monitoring(name: str, of: str) -> int:
    return int(instance(name)["run_monitoring"][of])


# Memory


def test_one_held_object_is_less_than_all_that_are_held() -> None:
    assert COPY_HELD_BYTES < COPIES_HELD_BYTES
    assert OBJECT_HELD_BYTES < OBJECTS_HELD_BYTES


def test_as_many_downloads_as_usual_fit_what_is_held() -> None:
    assert DOWNLOADS_AT_ONCE * COPY_HELD_BYTES <= COPIES_HELD_BYTES
    assert DOWNLOADS_AT_ONCE <= DOWNLOADS_AT_MOST


def test_shares_of_memory_leave_room_for_others_and_for_the_work_on_rows() -> None:
    assert 0 < MEMORY_SHARE_OF_FREE < 1
    assert 0 < MEMORY_SHARE_OF_ROWS <= 0.5


def test_what_stays_off_the_disk_fits_the_rows_of_the_smallest_memory_limit() -> None:
    least = MEMORY_FLOOR_MB * MEBIBYTE * MEMORY_SHARE_OF_ROWS
    assert SPOOL_PIECE_BYTES < SPOOL_HELD_BYTES < least
    assert least >= TOGETHER_BYTES
    assert least > PROOF_JOINED_BYTES + DUCKDB_JOINED_BYTES


@pytest.mark.xfail(strict=True, reason="ETL_MEMORY_LIMIT_MB accepts less than one load holds beside its rows")
def test_what_a_load_holds_beside_its_rows_fits_the_smallest_memory_limit() -> None:
    held = REPLAY_HELD_BYTES + TABLE_BATCH_BYTES
    assert held <= MEMORY_FLOOR_MB * MEBIBYTE * (1 - MEMORY_SHARE_OF_ROWS)


# Files


def test_a_field_fits_a_file_and_is_read_before_its_ratio_counts() -> None:
    assert RAW_CHARACTERS < FIELD_BYTES < RATIO_FLOOR_BYTES < DECOMPRESSED_BYTES


def test_what_is_shown_of_a_row_is_less_than_what_is_kept_of_it() -> None:
    assert VALUE_CHARACTERS < FOUND_CHARACTERS < MESSAGE_CHARACTERS, "a message has room for what was found"
    assert DEFECT_CHARACTERS < RAW_CHARACTERS


def test_a_block_holds_a_file_s_beginning_and_is_less_than_a_field_may_be() -> None:
    """Else a legal field would not fit into the blocks that may be held for it, or the first block would not do."""
    for block in (CSV_BLOCK_BYTES, JSON_BLOCK_BYTES):
        assert SMALL_CSV_BYTES < SNIFFED_BYTES < TORN_BYTES < block < FIELD_BYTES
    assert JSON_BEGINNING_BYTES <= JSON_BLOCK_BYTES
    assert SNIFFED_BYTES <= UNPACKED_CHUNK_BYTES, "the beginning of an archive is its first chunk"


def test_an_archive_s_directory_costs_less_than_its_ratio_forgives() -> None:
    assert ZIP_DIRECTORY_BYTES < RATIO_FLOOR_BYTES
    assert PROBED_BYTES * DECOMPRESSED_RATIO > RATIO_FLOOR_BYTES, "an honest beginning is no proof of a bomb"


def test_a_file_of_the_most_columns_still_has_rows_in_a_batch() -> None:
    assert min(PARQUET_BATCH_CELLS, JSON_BATCH_CELLS, CAST_CELLS) > FILE_COLUMNS
    assert FILE_COLUMNS * BATCH_ROWS <= FILE_CELLS, "the widest file may have a batch"
    assert FILE_COLUMNS < PARQUET_LISTED_VALUES, "our own refusal comes before the parser's"


def test_parquet_is_probed_with_less_than_a_batch() -> None:
    assert PARQUET_PROBE_ROWS < PARQUET_FEWEST_ROWS < INT96_BATCH_ROWS < BATCH_ROWS
    assert PAGE_HEADER_BYTES < LONGEST_PAGE_HEADER_BYTES < PARQUET_BATCH_BYTES
    assert LONGEST_PAGE_HEADER_BYTES < PARQUET_FOOTER_BYTES


def test_samples_and_small_pieces_are_less_than_a_batch() -> None:
    assert OBSERVED_ROWS <= SHORT_ROWS < TOGETHER_ROWS < BATCH_ROWS < BATCH_ROWS_AT_MOST
    assert FEW_ROWS < BATCH_ROWS <= INFERRED_ROWS
    assert FIRST_VALUES < OBSERVED_ROWS


def test_text_of_history_comes_in_whole_blocks_whatever_their_lines() -> None:
    """A record has a byte at least and a line end."""
    assert CSV_BLOCK_BYTES / 2 < HISTORY_TEXT_ROWS
    assert HISTORY_BATCH_ROWS < HISTORY_TEXT_ROWS


# Objects and tables


def test_each_download_has_a_connection() -> None:
    assert max(DOWNLOADS_AT_MOST, CONTENTS_AT_ONCE) <= S3_CONNECTIONS


def test_the_largest_file_goes_up_in_ordinary_parts() -> None:
    assert S3_PART_BYTES * S3_PARTS >= DECOMPRESSED_BYTES
    assert TRANSFER_CHUNK_BYTES < S3_PART_BYTES
    assert S3_PART_BYTES >= 5 * MEBIBYTE, "S3 refuses smaller parts"
    assert OBJECT_HELD_BYTES < S3_PART_BYTES, "an object held in memory goes up whole"


def test_the_clock_is_looked_at_after_few_objects() -> None:
    assert CONTENTS_AT_ONCE <= CONTENTS_BATCH < LISTING_PAGE


def test_a_page_of_a_listing_is_one_transaction() -> None:
    assert LISTING_SAMPLES < LISTING_PAGE <= BOUND_ROWS <= TRANSACTION_OBJECTS


def test_a_row_group_is_whole_batches_and_its_sample_a_part_of_one() -> None:
    assert LAKE_GROUP_ROWS % TABLE_BATCH_ROWS == 0
    assert LAKE_SAMPLE_ROWS < TABLE_BATCH_ROWS
    assert TABLE_BATCH_BYTES <= LAKE_GROUP_BYTES
    assert LAKE_READ_BUFFER_BYTES * LAKE_COLUMNS_AT_ONCE <= 2 * LAKE_GROUP_BYTES, "reading ahead stays near a group"
    assert TABLE_BATCH_BYTES < 2**31, "Arrow's offsets of text have 32 bits"


def test_pieces_of_a_batch_are_less_than_a_batch() -> None:
    assert max(ENCODED_ROWS, PROOF_JOINED_ROWS) < TABLE_BATCH_ROWS < DUCKDB_GROUP_ROWS
    assert max(DUCKDB_JOINED_BYTES, PROOF_JOINED_BYTES, POSTGRES_BATCH_BYTES) < TABLE_BATCH_BYTES
    assert SNOWFLAKE_GROUP_BYTES < SNOWFLAKE_FILE_BYTES


def test_names_fit_the_databases() -> None:
    assert DATASET_NAME_CHARACTERS < SQL_NAME_CHARACTERS < 63, "bytes of a name in Postgres, with one to spare"
    assert POSTGRES_FIGURES_AT_ONCE < 1_664, "columns of a row in Postgres"


# Time


def ring() -> float:
    """Seconds that one call waits between its tries, at most."""
    waits = (RETRY_FIRST_WAIT_SECONDS * (1 << number) for number in range(RETRY_ATTEMPTS - 1))
    return sum(min(wait, RETRY_LONGEST_WAIT_SECONDS) for wait in waits)


def test_the_inner_ring_gives_up_before_the_outer_one_is_at_its_longest() -> None:
    assert ring() == 65, "as the docstring of `retries.py` says"
    assert dt.timedelta(seconds=ring()) < LONGEST_DELAY
    assert RETRY_FIRST_WAIT_SECONDS <= RETRY_LONGEST_WAIT_SECONDS and FIRST_DELAY < LONGEST_DELAY


def test_a_tick_asks_a_service_again_before_it_gives_up() -> None:
    assert RETRY_FIRST_WAIT_SECONDS * (1 + 2) <= TICK_WAITS_SECONDS < ring(), "twice, and less often than a run"
    assert TICK_WAITS_SECONDS < SENSOR_INTERVAL_SECONDS


def test_a_tick_ends_before_dagster_cuts_it_off() -> None:
    """It lists, and where another one writes it waits once for the ledger and probes a service."""
    assert max(SENSOR_SECONDS, TICK_WAITS_SECONDS) + LOCK_SECONDS + PROBE_SECONDS < default_sensor_grpc_timeout()
    assert SENSOR_SECONDS < SENSOR_INTERVAL_SECONDS


@pytest.mark.xfail(strict=True, reason="a tick that lists a bucket which falls silent is cut off by Dagster first")
def test_a_silent_bucket_is_given_up_before_dagster_cuts_the_tick_off() -> None:
    assert default_sensor_grpc_timeout() > CONNECT_SECONDS + SILENCE_SECONDS


def test_a_probe_is_more_hasty_than_a_call() -> None:
    assert PROBE_SECONDS < CONNECT_SECONDS < SILENCE_SECONDS
    assert PROBE_SECONDS < SNOWFLAKE_LOGIN_SECONDS <= SNOWFLAKE_NETWORK_SECONDS < SNOWFLAKE_STATEMENT_SECONDS
    assert SNOWFLAKE_LOCK_SECONDS < SNOWFLAKE_STATEMENT_SECONDS


def test_three_beats_are_missing_before_a_process_is_dead() -> None:
    assert 3 * HEARTBEAT_EVERY < HEARTBEAT_SILENCE < 4 * HEARTBEAT_EVERY
    assert HEARTBEAT_SILENCE + HEARTBEAT_EVERY < HEARTBEAT_FORGOTTEN


def test_a_dead_daemon_and_a_dead_run_are_seen_before_its_lease_is_void() -> None:
    assert dt.timedelta(seconds=DAEMON_SILENCE_SECONDS) < RUN_REQUEST_LOST
    assert HEARTBEAT_SILENCE < RUN_REQUEST_LOST
    assert dt.timedelta(seconds=default_sensor_grpc_timeout()) < RUN_REQUEST_LOST, "a tick still holds its leases"
    assert DAEMON_SILENCE_SECONDS > 30, "Dagster's daemon beats every 30 s"


def test_runs_of_one_tick_are_made_before_their_requests_are_lost() -> None:
    assert dt.timedelta(seconds=RUNS_AT_ONCE * 0.010) < RUN_REQUEST_LOST
    assert RUNS_AT_ONCE <= DUE_AT_ONCE
    assert OVERDUE_AT_ONCE * OVERDUE_TRIES <= OVERDUE_RUNS, "the tries of all dates that one tick requests are read"


def test_picking_up_outlasts_a_start_and_a_silence() -> None:
    assert max(RUN_START_SECONDS, DAEMON_SILENCE_SECONDS, HEARTBEAT_SILENCE.total_seconds()) < PICK_UP_SECONDS


def test_files_of_a_process_that_starts_stay_until_it_would_be_taken_for_dead() -> None:
    assert PROCESS_YOUNG_SECONDS >= RUN_START_SECONDS


@pytest.mark.parametrize("name", INSTANCES)
def test_a_run_that_dagster_still_starts_is_not_taken_for_dead(name: str) -> None:
    assert RUN_START_SECONDS < monitoring(name, "start_timeout_seconds") < RUN_LAUNCH_SECONDS


@pytest.mark.parametrize("name", INSTANCES)
def test_a_run_waits_for_another_one_longer_than_that_one_takes_to_start(name: str) -> None:
    assert LOOK_FOR_RUN_SECONDS < RUN_LAUNCH_SECONDS < WAIT_FOR_RUN_SECONDS < monitoring(name, "max_runtime_seconds")


@pytest.mark.parametrize("name", INSTANCES)
def test_nothing_of_a_run_is_swept_or_forgotten_while_it_may_live(name: str) -> None:
    longest = dt.timedelta(seconds=monitoring(name, "max_runtime_seconds"))
    assert longest < min(HEARTBEAT_FORGOTTEN, OVERDUE_LOOK_BACK, dt.timedelta(seconds=STAGED_SECONDS))
    assert dt.timedelta(seconds=SNOWFLAKE_STATEMENT_SECONDS) < longest


@pytest.mark.parametrize("name", INSTANCES)
def test_every_sensor_at_once_has_a_connection_to_the_ledger(name: str) -> None:
    workers = instance(name)["sensors"]["num_workers"] + instance(name)["schedules"]["num_workers"]
    assert workers <= LEDGER_CONNECTIONS + LEDGER_FURTHER_CONNECTIONS


def test_a_lock_is_waited_for_longer_than_others_hold_it() -> None:
    """A transaction of the ledger is about a second; an upgrade takes 0.1 ms for each of a million objects."""
    assert LOCK_SECONDS < UPGRADE_SECONDS
    assert UPGRADE_SECONDS > 1_000_000 * 0.0001
    assert DUCKDB_LOOK_SECONDS < DUCKDB_WAIT_SECONDS


# Runs of many dates, tries and what is shown


def test_the_smallest_batch_of_dates_fits_one_run_by_count_and_bytes() -> None:
    assert BATCH_FEWEST_DATES < BATCH_DATES
    assert BATCH_FEWEST_DATES * BATCH_PARTITION_BYTES <= BATCH_RUN_BYTES
    assert BATCH_RUN_BYTES < COPIES_HELD_BYTES


def test_a_run_that_dies_is_tried_less_often_than_a_service_that_fails() -> None:
    """A death costs a process and says nothing of its cause; a service comes back."""
    assert DEATHS_LIMIT < SERVICE_FAILURES_A_DAY


def test_what_is_usual_is_known_before_all_partitions_are_there_that_are_compared() -> None:
    assert DRIFT_FEWEST_PARTITIONS < DRIFT_PARTITIONS


def test_what_is_shown_is_less_than_what_is_looked_at() -> None:
    assert STATUS_REASONS_SHOWN < STATUS_OBJECTS and NEAR_KEYS_SHOWN < NEAR_KEYS_COMPARED
    assert QUESTION_ROWS <= QUESTION_BATCH_ROWS and DIFFERENCES_NAMED < DIFFERENCES_LISTED
    assert INFERRED_LINES_SHOWN <= INFERRED_HEAD_LINES


# One place


def test_defaults_are_the_limits() -> None:
    fields = Settings.model_fields
    assert fields["download_concurrency"].default == DOWNLOADS_AT_ONCE
    own = Retries(RETRY_ATTEMPTS, RETRY_FIRST_WAIT_SECONDS, RETRY_LONGEST_WAIT_SECONDS)
    assert Settings().retries == Retries() == own
    assert Institution.model_fields["batch_rows"].default == SilverPlan.batch_rows == BATCH_ROWS
    assert ReadLimits().field_bytes == FIELD_BYTES


def test_limits_need_no_other_module_and_have_a_reason_each() -> None:
    tree = ast.parse((PACKAGE / "limits.py").read_text())
    imported = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imported == ["from __future__ import annotations", "import datetime as dt"]
    body = tree.body[len(imported) + 1 :]
    for constant, reason in zip(body[::2], body[1::2], strict=True):
        assert isinstance(constant, ast.Assign) and isinstance(reason, ast.Expr), ast.unparse(constant)
        assert ast.unparse(reason).endswith((".'", '."')), ast.unparse(reason)
    names = Counter(ast.unparse(constant.targets[0]) for constant in body[::2] if isinstance(constant, ast.Assign))
    assert len(names) > 150 and set(names.values()) == {1}


def test_every_limit_is_used() -> None:
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py") if path.name != "limits.py"]
    used = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert {name for name in vars(limits) if name.isupper()} - used == set()


def numbers(tree: ast.Module, module: str) -> Iterator[str]:
    """Module-level names of numbers, spans of time included: `module.NAME`."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and is_number(node.value):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name | ast.Tuple):
                yield f"{module}.{ast.unparse(target).strip('()')}"


def is_number(value: ast.expr) -> bool:
    match value:
        case ast.Constant():
            return isinstance(value.value, int | float) and not isinstance(value.value, bool)
        case ast.UnaryOp():
            return is_number(value.operand)
        case ast.BinOp():
            return is_number(value.left) or is_number(value.right)
        case ast.Tuple():
            return any(is_number(part) for part in value.elts)
        case ast.Call():
            return ast.unparse(value.func).rpartition(".")[2] in {"timedelta", "Decimal", "int", "float"}
    return False


def test_a_number_of_a_module_is_no_limit_or_stands_in_limits() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module != "limits":
            found |= set(numbers(ast.parse(path.read_text()), module))
    allowed = [name for names in ELSEWHERE.values() for name in names]
    whole = tuple(name.removesuffix("*") for name in allowed if name.endswith("*"))
    assert {name for name in found if name not in allowed and not name.startswith(whole)} == set()
    assert [name for name in allowed if not any(one == name or one.startswith(name[:-1]) for one in found)] == []


def test_the_search_sees_numbers_in_every_spelling() -> None:
    text = "A = 1\n_B: int = 2**20\nC = dt.timedelta(days=1)\nD, E = 1, 2.5\nF = -(8 << 20)\nG = True\nH = f(1)"
    assert list(numbers(ast.parse(text), "m")) == ["m.A", "m._B", "m.C", "m.D, E", "m.F"]

"""Every number that bounds what the platform takes, holds, waits for or asks for: one place, one name, one reason.

Belongs here: bounds of sizes, counts, rows, bytes, seconds and tries, with their unit and what was measured. A name
says what it bounds; a setting or a field of an institution file takes its default from here. Modules import them by
name and give them no second one. Not here: what decides how a value is judged (thresholds, formats, exact ranges of a
type), the width of charts and tables, what a contract says of its data. `test_limits.py` says how they hang together.
"""

from __future__ import annotations

import datetime as dt

# Memory of one partition, and what is held of it.

MEMORY_SHARE_OF_FREE = 0.5
"""Of the machine or its container, where ETL_MEMORY_LIMIT_MB says nothing: the other half is for other runs."""
MEMORY_SHARE_OF_ROWS = 0.25
"""Of the plan's limit, what waiting rows may hold: casts, rules and the dedupe state work on top of them."""
MEMORY_FLOOR_MB = 64
"""The least that ETL_MEMORY_LIMIT_MB may be."""
ROWS_BUDGET_BYTES = 512 * 2**20
"""Of rows in memory, where no plan of the machine's memory says otherwise."""
SPOOL_HELD_BYTES = 8 * 2**20
"""Small partitions never touch the disk; one backfill of a year of partitions still stays below 3 GB."""
SPOOL_PIECE_BYTES = 2 * 2**20
"""Of a large batch: a reader has one in memory, its copies on their way, and what Arrow keeps for the next ones."""
REPLAY_HELD_BYTES = 64 * 2**20
"""Of one load, kept for the case that the server goes away: writing them out would cost a fifth of the load's CPU."""
COPY_HELD_BYTES = 2**20
"""A smaller object is copied and read without a scratch file, which would cost more than all the rest."""
COPIES_HELD_BYTES = 32 * 2**20
"""So much of one partition's small objects is in memory while they are read."""
OBJECT_HELD_BYTES = 2**20
"""A smaller object is written and read without a scratch file, which would cost more than all the rest."""
OBJECTS_HELD_BYTES = 16 * 2**20
"""The most that all objects of one replace may take so."""


# Files as they are received, and how they are read.

BATCH_ROWS = 100_000
"""Records of a file that are read and judged at once; an institution may say otherwise."""
BATCH_ROWS_AT_MOST = 10_000_000
"""What an institution may say."""
DECOMPRESSED_RATIO = 200
"""Bytes unpacked for each that was received."""
DECOMPRESSED_BYTES = 64 * 2**30
"""Of one file, unpacked."""
FILE_COLUMNS = 10_000
"""Of one file."""
FILE_CELLS = 20_000_000_000
"""Rows times columns of one file."""
JSON_DEPTH = 64
"""Objects and arrays in each other."""
FIELD_BYTES = 16 * 2**20
"""Of one field of CSV, one record of JSON: longer is a quote that nobody closes, or an attack."""
SNIFFED_BYTES = 64 * 1024
"""Of a file's beginning: enough for its format, its encoding and the first lines."""
RAW_CHARACTERS = 16_384
"""Longest raw text (characters) kept for one quarantined row; longer text is cut and ends in '…'."""
UNPACKED_CHUNK_BYTES = 2**20
"""Read of a file, or unpacked, at once."""
RATIO_FLOOR_BYTES = 32 * 2**20
"""Below this size no ratio is held against a file: a small, very regular file compresses 1000:1 honestly."""
PROBED_BYTES = 2**20
"""Compressed bytes to look at before reading: honest ones are unpacked in some 30 ms."""
ZIP_DIRECTORY_BYTES = 2**20
"""One member needs about 100 bytes of directory; a large directory alone can cost seconds and gigabytes."""
SMALL_CSV_BYTES = 4_096
"""From here on a parser is quicker."""
CSV_BLOCK_BYTES = 2 * 2**20
"""Measured 1 to 8 MiB: 2 is fastest (arrays of positions stay in the cache), and memory stays flat at ten blocks."""
TORN_BYTES = 2**20
"""A record is held back for the lines behind it while all of them are no larger than this."""
TORN_LINES = 100
"""How far behind a record a quote may close that nobody opened."""
LINES_COUNTED_SINGLY = 5_000
"""So many lines are counted one by one, which is dearer than finding all delimiters once there are more."""
JSON_BLOCK_BYTES = 2 * 2**20
"""Text of whole records that is taken apart at once, as for CSV."""
JSON_BEGINNING_BYTES = 2**20
"""So much text tells whether a record spans lines."""
JSON_READS_IN_VAIN = 4
"""Times a block is read in vain before its broken lines are taken for what they are."""
JSON_KEYS_PER_COLUMN = 16
"""Keys of one record, nested ones included, for each column that a file may have."""
JSON_BATCH_CELLS = 4_000_000
"""A missing value costs as much as one that is there, some 30 bytes: blocks of sparse records are read in parts."""
PARQUET_BATCH_BYTES = 32 * 2**20
"""Of one batch, as its text is once it is spread out."""
PARQUET_BATCH_CELLS = 4_000_000
"""Rows times columns of one batch."""
PARQUET_FEWEST_ROWS = 4_096
"""A batch of fewer rows, for the width of spread out text, is not worth it: dictionaries are kept as they are."""
PARQUET_PROBE_ROWS = 1_024
"""First rows of a group that are read to see what its text takes."""
PARQUET_FOOTER_BYTES = 64 * 2**20
"""A footer costs about 100 bytes per column and row group; long lists of columns are stopped by the Thrift limit."""
PARQUET_LISTED_VALUES = 100_000
"""Entries of one list of a footer (columns, row groups) that pyarrow accepts."""
INT96_BATCH_ROWS = 65_536
"""Rows of old timestamps that are read at once, twice."""
PAGE_HEADER_BYTES = 4_096
"""A header has statistics of two values; writers cut them to some hundred bytes."""
LONGEST_PAGE_HEADER_BYTES = 2**24
"""A header that is still not whole by then is damage or an attack."""
DELTA_BLOCK_VALUES = 2**16
"""Values in one block of delta-packed lengths; writers use 128."""
THRIFT_DEPTH = 32
"""A footer is four levels deep; more is an attack on the interpreter's stack."""


# Rows as they are cast, judged and joined.

SHORT_ROWS = 2_000
"""Rows up to which it costs more to begin a cast than to do it."""
CAST_CELLS = 500_000
"""So many are cast in one: what a cast makes on its way is as large as they are."""
VALIDATED_COLUMNS = 32
"""Columns of a wide contract that Pandera sees at once."""
FEW_ROWS = 10_000
"""So many rows of any table are a few megabytes, and pass before the streaming engine has begun."""
TOGETHER_ROWS = 10_000
"""Rows of small files that wait for each other."""
TOGETHER_BYTES = 16 * 2**20
"""Of their text."""
OBSERVED_ROWS = 1_000
"""First values of a column that are looked at: under a millisecond a column, whatever the file's size."""
FEWEST_TYPED_VALUES = 2
"""A single value that does not read is a wrong value, not another type."""
FOUND_CHARACTERS = 200
"""Longest text shown as "found" in a reason; the whole row is in `raw`."""
REFERENCE_SAMPLE_ROWS = 10
"""Unknown references that a check shows, those of most rows first."""
STORED_SAMPLE_ROWS = 5
"""Rows that break a rule in a table, as a check shows them."""
OVERLAP_TRIES = 5
"""So often are other dates looked at that change meanwhile, before the partition waits for them."""


# Declarations, inferred types and drift.

DOCUMENT_DEPTH = 100
"""Brackets open at once in an institution file or a declaration: more is an attack on the parser's stack."""
SQL_NAME_CHARACTERS = 62
"""Of an index: Postgres cuts names after 63 bytes without an error."""
DATASET_NAME_CHARACTERS = 50
"""Of a proposed dataset name, which is that of tables."""
INFERRED_ROWS = 200_000
"""Rows of a sample that a declaration is inferred from."""
INFERRED_HEAD_LINES = 20
"""First lines of a sample that tell comments and delimiters."""
KEY_SEARCH_COLUMNS = 12
"""Columns among which a key of two or three is searched."""
COLUMNS_COMPARED_TOGETHER = 50
"""Columns whose values are compared in one query."""
FIRST_VALUES = 16
"""Values that are tried before all are: most formats fail at the first ones."""
DRIFT_PARTITIONS = 30
"""Earlier partitions that a partition is compared with."""
DRIFT_FEWEST_PARTITIONS = 3
"""With fewer than this nothing is usual yet."""
DRIFT_FEWEST_ROWS = 10
"""With fewer events than this their hours say nothing."""
PROFILE_GROUPS = 1_000
"""Groups kept per watched column, those with most rows: 30 profiles of a thousand symbols are a megabyte."""
PROFILE_VALUES = 500
"""A column with more different values than this is no category: nothing is kept of it."""


# History: one file cut by date.

HISTORY_TEXT_ROWS = 10_000_000
"""Rows in a batch: more than a block holds, so that the rejects of a batch are those of its own rows."""
HISTORY_BATCH_ROWS = 65_536
"""Rows of a Parquet file that are cut at once."""
UNDATED_SHOWN = 10
"""Rows without a date that the refusal of a file names."""


# The landing zone and objects.

DOWNLOADS_AT_ONCE = 5
"""Objects of one partition that are fetched at the same time, unless ETL_DOWNLOAD_CONCURRENCY says otherwise."""
DOWNLOADS_AT_MOST = 64
"""What ETL_DOWNLOAD_CONCURRENCY may say."""
CONTENTS_AT_ONCE = 8
"""Objects whose contents are hashed at the same time."""
CONTENTS_BATCH = 32
"""Objects between two looks at the clock."""
LISTING_PAGE = 1_000
"""Objects of a listing that are compared with the ledger at once, and the most that are asked for one by one."""
LISTING_SAMPLES = 5
"""Keys without a route that one look at the landing zone names."""
S3_PART_BYTES = 16 << 20
"""Larger files go up in parts of this size, each retried alone; also the memory that one upload takes."""
S3_PARTS = 10_000
"""S3's own bound. Larger files go up in larger parts."""
S3_CONNECTIONS = 64
"""As many as ETL_DOWNLOAD_CONCURRENCY may say: a connection beyond is thrown away after its object, with a warning."""
TRANSFER_CHUNK_BYTES = 1 << 20
"""Of an object on its way, in memory."""
PROBE_SECONDS = 5.0
"""A tick that asks whether a service is back must not wait for one that is not."""
CONNECT_SECONDS = 10
"""How long a connection to S3 may take."""
SILENCE_SECONDS = 60
"""Longest silence on a connection to S3."""
STAGED_SECONDS = 86_400
"""A file in the staging folder that nobody wrote to for a day belongs to a process that was killed."""


# Tables: the lake, DuckDB, Postgres, Snowflake, and the proof of what they hold.

TABLE_BATCH_ROWS = 65_536
"""Rows of one batch between a table and its readers or writers."""
TABLE_BATCH_BYTES = 64 * 2**20
"""A batch of wide rows is cut smaller: Arrow's 32-bit string offsets end at 2 GB, and memory should long before."""
LAKE_GROUP_ROWS = 131_072
"""Rows of one row group in the lake: two batches."""
LAKE_GROUP_BYTES = 64 * 2**20
"""Of one row group, as Arrow holds it."""
LAKE_SAMPLE_ROWS = 4_096
"""The width of so many rows decides the size of all row groups. A fixed number: the same rows give the same file."""
LAKE_READ_BUFFER_BYTES = 2**20
"""Read ahead of each column of a file in the lake."""
LAKE_COLUMNS_AT_ONCE = 128
"""Columns whose read buffers are open at once."""
SEAL_CHUNK_BYTES = 2**20
"""Of a file that is sealed or checked, in memory."""
DUCKDB_WAIT_SECONDS = 60.0
"""How long one waits for the DuckDB file that another process holds."""
DUCKDB_LOOK_SECONDS = 0.05
"""Between two looks whether the DuckDB file is free."""
COMMAND_CHARACTERS = 300
"""Characters of a command line that are shown."""
DUCKDB_JOINED_BYTES = 2**20
"""So much of small batches is joined: copied once more, to spare DuckDB what each batch costs however small it is."""
DUCKDB_FIGURES_AT_ONCE = 64
"""DuckDB holds a chunk of rows of every column that a query names; only a very wide table is asked more than once."""
DUCKDB_GROUP_ROWS = 122_880
"""DuckDB's unit of work: one thread does all of it."""
COMMENTS_AT_ONCE = 25
"""Column comments in one transaction of DuckDB."""
ENCODED_ROWS = 8_192
"""Rows encoded at once: larger pieces gain nothing and their bytes are held once per piece."""
QUEUED_PIECES = 16
"""Of at most 128 KiB each: 2 MiB between encoder and sender, more than the server takes while the next rows are read
and encoded. psycopg's own bound is 128 MiB."""
POSTGRES_FIGURES_AT_ONCE = 1_000
"""Figures of one query: a row of Postgres has 1,664 columns at most."""
PARALLEL_ROWS = 100_000
"""From so many rows on the server's further processes are worth their start."""
POSTGRES_BATCH_BYTES = 4 * 2**20
"""Of one batch that Postgres' driver hands out: a hint."""
POSTGRES_LOCK_SECONDS = 60
"""How long a load waits for another one of the same table in Postgres."""
SNOWFLAKE_LOGIN_SECONDS = 10
"""How long a login to Snowflake may take."""
SNOWFLAKE_NETWORK_SECONDS = 300
"""How long Snowflake's connector asks again by itself."""
SNOWFLAKE_STATEMENT_SECONDS = 3_600
"""Of one statement: Snowflake ends it then."""
SNOWFLAKE_LOCK_SECONDS = 600
"""How long a statement waits for others of the same table in Snowflake."""
SNOWFLAKE_FILE_BYTES = 128 * 2**20
"""Snowflake loads files of 100 to 250 MB best: smaller ones cost overhead, larger ones are not loaded in parallel."""
SNOWFLAKE_GROUP_BYTES = 32 * 2**20
"""Arrow bytes that wait in memory for each schema until a row group is written."""
PROOF_JOINED_ROWS = 8_192
"""Small batches are counted together, up to so many rows: a kernel costs the same for one row as for hundreds."""
PROOF_JOINED_BYTES = 2 * 2**20
"""The same in bytes."""


# The ledger.

BOUND_ROWS = 2_000
"""Of one statement. Half a megabyte of long keys: bounds the memory of a statement, costs nothing by being more."""
LOCK_SECONDS = 30
"""How long a writer waits for its turn before StorageUnavailableError."""
UPGRADE_SECONDS = 600
"""The same for a start that finds an old ledger: another one may be upgrading it, at 0.1 ms an object."""
LEDGER_CONNECTIONS = 2
"""Connections to a ledger in Postgres that one process keeps."""
LEDGER_FURTHER_CONNECTIONS = 8
"""And those that it opens beside them while many threads ask."""
LEDGER_CONNECT_SECONDS = 10
"""How long a connection to a ledger in Postgres may take."""
EVENT_LOG_SECONDS = 30
"""How long one writer of the event log waits for another; Dagster's own figure."""
TRANSACTION_OBJECTS = 5_000
"""Objects recorded per transaction: about a second under the write lock, then others have their turn."""
DEATHS_LIMIT = 3
"""So many runs in a row die at a partition before it has failed: the next one would die, too."""
MESSAGE_CHARACTERS = 8_000
"""Of an error on record: enough for a cause and its context; whole tracebacks belong to the run's log."""
SERVICE_FAILURES_A_DAY = 10
"""A partition that a service fails more often, while it answers, has failed."""
FIRST_DELAY = dt.timedelta(seconds=30)
"""Longest wait of a partition for a service, the first time; it doubles with each further one."""
LONGEST_DELAY = dt.timedelta(hours=1)
"""Longest wait of a partition for a service, however often it failed."""
HEARTBEAT_EVERY = dt.timedelta(seconds=8)
"""A process that executes a run says so often that it lives."""
HEARTBEAT_SILENCE = dt.timedelta(seconds=25)
"""So long without a beat, from the first look on: three beats are missing."""
HEARTBEAT_FORGOTTEN = dt.timedelta(days=1)
"""A process under suspicion for so long has ended, or was seen to: nobody asks for it any more."""


# One call to a service: how often it is asked again (`retries.py` says what these are worth).

RETRY_ATTEMPTS = 5
"""How often a service that does not answer is asked."""
RETRY_FIRST_WAIT_SECONDS = 5.0
"""Longest wait before the second attempt; it doubles with each further one."""
RETRY_LONGEST_WAIT_SECONDS = 30.0
"""Longest wait before any attempt, also where a service asks for more."""


# Ticks, runs and processes.

SENSOR_INTERVAL_SECONDS = 30
"""Between two ticks."""
SENSOR_SECONDS = 20.0
"""That one tick may list the landing zone."""
DUE_AT_ONCE = 10_000
"""Deliveries that one tick looks at. Those that wait longest come first."""
RUNS_AT_ONCE = 1_000
"""Runs that one tick requests: Dagster makes them one by one, some 10 ms each."""
TICK_WAITS_SECONDS = 15.0
"""Of one tick, between the tries of calls that fail."""
BATCH_FEWEST_DATES = 20
"""With fewer dates than this the ordinary runs cost a few seconds, and each has a page of its own in the UI."""
BATCH_PARTITION_BYTES = 256 * 2**10
"""Of all files of a partition, as received. A larger one costs more than Dagster's part of its run."""
BATCH_DATES = 200
"""Dates in one run at the most: what one run leaves behind when it is killed."""
BATCH_RUN_BYTES = 12 * 2**20
"""Of all files in one run, as received; the rows that wait for the warehouse are some 100 MB at the very most."""
OVERDUE_TRIES = 3
"""Of the same date with the same rows below it. A failure that stays is for a person."""
OVERDUE_LOOK_BACK = dt.timedelta(days=2)
"""Runs that were touched within this time count as tries."""
OVERDUE_RUNS = 500
"""Runs that one tick reads to count the tries of dates."""
OVERDUE_AT_ONCE = 50
"""Dates that one tick requests."""
RUN_START_SECONDS = 60.0
"""A process that has not said within this time that it executes the run does not: it was killed while it started."""
RUN_LAUNCH_SECONDS = 240.0
"""The same where the server that launched it lives, or is out of sight: it tells when its process is gone, and a
crowded machine takes minutes to start one. Longer than Dagster's own `start_timeout_seconds`."""
RUN_REQUEST_LOST = dt.timedelta(minutes=2)
"""A run that was requested is there within this time, or its request was lost."""
DAEMON_SILENCE_SECONDS = 45.0
"""Dagster's daemon beats every 30 s."""
WAIT_FOR_RUN_SECONDS = 600.0
"""How long a run waits for another one at the same delivery: two were started by hand, or at the same moment."""
LOOK_FOR_RUN_SECONDS = 1.0
"""Between two looks whether the other run has ended."""
PROCESS_YOUNG_SECONDS = 60.0
"""Scratch files of a process that has just started, and has not yet said that it lives, stay for so long."""
PICK_UP_SECONDS = 65.0
"""Longer than a run may start, and than a living daemon is silent."""
SIGNALS_AT_ONCE = 4_096
"""Bytes read of the pipe that Python writes each signal to, one byte for each."""
RUN_ROUNDS = 3
"""So often are dates run again that hold the same keys as others. Each settles at once: more is for what others load
meanwhile."""


# Questions: `etl-platform query`, and what a question reads.

QUESTION_TRIES = 10
"""So often is a question asked whose objects are replaced under it."""
QUESTION_BATCH_ROWS = 10_000
"""Rows of an answer that are taken at once."""
CLOCKS_DIFFER = dt.timedelta(seconds=10)
"""The lake's clock and those of the machines that run agree within this. An object that was written so shortly before
a run began at its partition counts as that run's."""
QUESTION_ROWS = 100
"""Rows of an answer that are shown unless `--limit` says otherwise."""


# What people are shown; the rest is counted, or one command away.

PREVIEW_ROWS = 5
"""Rows of a partition in the metadata of its event."""
PREVIEW_CHARACTERS = 40
"""Of one value in such a row."""
REFUSED_ROWS_SHOWN = 10
"""Refused rows shown in the failure of a partition above its limit; all of them are still in bronze."""
EMPTIED_KEYS_NAMED = 3
"""Withdrawn keys that the check of an emptied partition names."""
PARTITIONS_NAMED = 5
"""So many partitions are spelled out in a message; the others are counted."""
VALUE_CHARACTERS = 40
"""Of a value that a doubt of the inference names."""
CANDLES = 60
"""More are not readable at this width, and an event's metadata should stay small (60 candles: about 12 KB)."""
INFERRED_LINES_SHOWN = 5
"""Lines of a sample that `infer` shows."""
PICKED_UP_SHOWN = 5
"""Runs and partitions that a message of picking up names."""
DEFECTS_SHOWN = 20
"""Refused rows that `plan` shows."""
DEFECT_CHARACTERS = 160
"""Of the raw text of such a row."""
QUARANTINE_GROUPS_SHOWN = 50
"""Groups of refused rows that `quarantine` shows."""
RUN_LINES_SHOWN = 100
"""Partitions that `run` lists one by one."""
RUN_WARNINGS_SHOWN = 20
"""Warnings that `run` repeats at its end."""
STATUS_DAYS = 14
"""Last days that `status` shows."""
STATUS_OBJECTS = 1_000
"""Objects that `status` reads of the ledger."""
STATUS_REASONS_SHOWN = 20
"""Partitions whose reasons `status` shows."""
NEAR_KEYS_SHOWN = 3
"""Keys that `withdraw` proposes for one that it does not know."""
NEAR_KEYS_COMPARED = 1_000
"""Keys among which near matches are looked for."""
HASH_CHARACTERS = 12
"""Of a SHA-256, which are enough to tell two objects apart."""
DIFFERENCES_NAMED = 5
"""Differences of a sender's columns that a message names."""
DIFFERENCES_LISTED = 50
"""Differences of a sender's columns that a table lists."""

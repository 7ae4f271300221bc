"""Landing to silver on OHLCV rows, against hand-written Polars streaming code and pandas that do the same work.

Same work: read CSV as text, cast exactly, hold every rule of the `prices` contract against every row, split off the
broken rows with their reason, drop exact repeats, hash each row, write good and bad rows as Parquet.

    python -m benchmarks.silver --rows 3000000 --rounds 3
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import measure

DATE = dt.date(2025, 1, 15)
CONTESTANTS = ("platform", "polars", "pandas")
IMPORTS = {
    "platform": ("etl_platform.contracts", "etl_platform.transforms.silver", "etl_platform.stores.lake.store"),
    "polars": ("polars_hash",),
    "pandas": ("pandas", "pyarrow"),
}
LIMIT_MB = 2_048
"""Memory plan of the platform's runs: rows beyond a quarter of it go to scratch files."""
RESULTS = Path(__file__).parent / "results" / "silver.md"


def write_input(path: Path, rows: int) -> None:
    """One CSV of `rows` bars of 500 symbols; one row in a hundred breaks a rule, one in a thousand is a repeat."""
    rng = np.random.default_rng(1)
    index = np.arange(rows)
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    symbols = np.array(["".join(letters[[n // 26 % 26, n % 26, n % 7]]) for n in range(500)])
    base = np.round(rng.uniform(10, 500, rows), 2)
    frame = pl.DataFrame(
        {
            "symbol": symbols[index % 500],
            "second": (index // 500).astype(np.int64),
            "open": base,
            "high": np.round(base * 1.01, 2),
            "low": np.round(base * 0.99, 2),
            "close": np.round(base * rng.uniform(0.991, 1.009, rows), 2),
            "volume": rng.integers(1, 1_000_000, rows),
        }
    )
    broken = pl.int_range(pl.len()) % 100 == 7
    text = frame.select(
        "symbol",
        timestamp=(pl.lit(dt.datetime(2025, 1, 15, tzinfo=dt.UTC)) + pl.duration(seconds=pl.col("second"))).dt.strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
        open="open",
        high=pl.when(broken).then(pl.col("low") / 2).otherwise("high").round(2),
        low="low",
        close="close",
        volume="volume",
    )
    repeats = text.gather_every(1_000)
    pl.concat([text.head(rows - repeats.height), repeats]).write_csv(path)


def run_platform(source: Path, target: Path) -> None:
    """The platform's own way, as the silver asset calls it."""
    from etl_platform.contracts import BUILT_IN
    from etl_platform.contracts.quarantine import quarantine_table
    from etl_platform.contracts.table import PartitionKey
    from etl_platform.object_store.open import open_object_store
    from etl_platform.readers.options import CsvOptions
    from etl_platform.resources.memory import plan_memory
    from etl_platform.stores.frames import to_batches
    from etl_platform.stores.lake.store import LakeStore
    from etl_platform.transforms.normalise import SenderFormat
    from etl_platform.transforms.silver import SilverPlan, SourceFile, build_silver

    contract = BUILT_IN["prices"]
    key = PartitionKey(DATE, "institution_a")
    budget = plan_memory(LIMIT_MB).rows_budget
    plan = SilverPlan(contract, key, CsvOptions(), dt.datetime.now(dt.UTC), target / "scratch", budget=budget)
    result = build_silver([SourceFile("bars.csv", source, 1, SenderFormat())], plan)
    store = LakeStore(open_object_store(str(target / "lake")), target / "tmp")
    for table, frame in ((quarantine_table("prices"), result.quarantine), (contract.silver, result.silver)):
        store.replace(table, [key], to_batches(frame, table, "benchmark"))
    assert result.unexplained == 0


def run_polars(source: Path, target: Path) -> None:
    """What an experienced user would write by hand for this one file: one lazy query, streamed into two files."""
    import polars_hash as plh

    decimal = pl.Decimal(18, 8)
    prices = ("open", "high", "low", "close")
    raw = pl.scan_csv(source, infer_schema=False).with_row_index("_source_row", offset=2)
    exact = r"^[+-]?\d{1,10}(\.\d{0,8}0*)?$"
    typed = raw.with_columns(
        pl.col("timestamp")
        .str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC", time_unit="us", strict=False)
        .alias("t"),
        *(
            pl.when(pl.col(c).str.contains(exact)).then(pl.col(c)).cast(decimal, strict=False).alias(f"_{c}")
            for c in prices
        ),
        pl.col("volume").cast(pl.Int64, strict=False).alias("v"),
    )
    low, high = pl.lit(0.01).cast(decimal), pl.lit(1_000_000).cast(decimal)
    start = dt.datetime(2025, 1, 15, tzinfo=dt.UTC)
    now = dt.datetime.now(dt.UTC)
    rules = {
        "symbol_is_present": pl.col("symbol").is_not_null(),
        "timestamp_is_typed": pl.col("t").is_not_null(),
        **{f"{c}_is_typed": pl.col(f"_{c}").is_not_null() for c in prices},
        "volume_is_typed": pl.col("v").is_not_null(),
        "symbol_is_well_formed": pl.col("symbol").str.contains(r"^[A-Z]{1,5}$"),
        **{f"{c}_is_in_range": pl.col(f"_{c}").is_between(low, high) for c in prices},
        "high_is_highest": pl.all_horizontal(pl.col("_high") >= pl.col(f"_{c}") for c in ("open", "low", "close")),
        "low_is_lowest": pl.all_horizontal(pl.col("_low") <= pl.col(f"_{c}") for c in ("open", "high", "close")),
        "volume_is_not_negative": pl.col("v") >= 0,
        "timestamp_is_in_business_date": pl.col("t").is_between(
            start - dt.timedelta(hours=12), start + dt.timedelta(hours=37)
        ),
        "timestamp_is_not_in_future": pl.col("t") <= now + dt.timedelta(minutes=5),
    }
    flagged = typed.with_columns(**{name: rule.fill_null(False) for name, rule in rules.items()})
    is_good = pl.all_horizontal(list(rules))
    text = pl.concat_str(
        "symbol", pl.col("t").dt.timestamp("us").cast(pl.String), *(pl.col(f"_{c}").cast(pl.String) for c in prices),
        pl.col("v").cast(pl.String), separator="\x1f",
    )  # fmt: skip
    good = (
        flagged.filter(is_good)
        .select(
            "symbol",
            timestamp="t",
            **{c: f"_{c}" for c in prices},
            volume="v",
            _source_row=pl.col("_source_row").cast(pl.Int64),
            _row_hash=plh.concat_str(text).nchash.xxh3_64().reinterpret(signed=True),
            _source_file=pl.lit("bars.csv"),
            _processed_at=pl.lit(now),
            business_date=pl.lit(DATE),
            institution=pl.lit("institution_a"),
        )
        .unique(["symbol", "timestamp", "_row_hash"], keep="first", maintain_order=False)
    )
    bad = flagged.filter(~is_good).select(
        "_source_row",
        raw=pl.concat_str(pl.col("symbol", "timestamp", *prices, "volume").fill_null(""), separator=","),
        reason=pl.concat_str(
            [pl.when(~pl.col(name)).then(pl.lit(name)) for name in rules], separator="; ", ignore_nulls=True
        ),
    )
    sinks = [
        good.sink_parquet(target / "good.parquet", lazy=True, compression="zstd"),
        bad.sink_parquet(target / "bad.parquet", lazy=True, compression="zstd"),
    ]
    pl.collect_all(sinks, engine="streaming")


def run_pandas(source: Path, target: Path) -> None:
    """The same with pandas: text columns, Decimals by pyarrow, boolean rules, drop_duplicates, two Parquet files."""
    import pandas as pd
    import pyarrow as pa

    prices = ["open", "high", "low", "close"]
    decimal = pd.ArrowDtype(pa.decimal128(18, 8))
    frame = pd.read_csv(source, dtype=str, keep_default_na=False)
    frame["_source_row"] = range(2, len(frame) + 2)
    typed = pd.DataFrame({"symbol": frame["symbol"]})
    typed["timestamp"] = pd.to_datetime(frame["timestamp"], format="%Y-%m-%dT%H:%M:%SZ", utc=True, errors="coerce")
    for column in prices:
        fits = frame[column].str.match(r"^[+-]?\d{1,10}(\.\d{0,8}0*)?$")
        typed[column] = frame[column].where(fits).astype(pd.ArrowDtype(pa.string())).astype(decimal)
    typed["volume"] = pd.to_numeric(frame["volume"], errors="coerce").astype("Int64")
    low, high = (
        pa.scalar("0.01").cast(pa.decimal128(18, 8)).as_py(),
        pa.scalar("1000000").cast(pa.decimal128(18, 8)).as_py(),
    )
    start = pd.Timestamp(DATE, tz="UTC")
    now = pd.Timestamp.now(tz="UTC")
    rules = {
        "symbol_is_well_formed": typed["symbol"].str.match(r"^[A-Z]{1,5}$"),
        **{f"{c}_is_in_range": (typed[c] >= low) & (typed[c] <= high) for c in prices},
        "high_is_highest": (typed["high"] >= typed["open"])
        & (typed["high"] >= typed["low"])
        & (typed["high"] >= typed["close"]),
        "low_is_lowest": (typed["low"] <= typed["open"])
        & (typed["low"] <= typed["high"])
        & (typed["low"] <= typed["close"]),
        "volume_is_not_negative": typed["volume"] >= 0,
        "timestamp_is_in_business_date": (typed["timestamp"] >= start - pd.Timedelta(hours=12))
        & (typed["timestamp"] <= start + pd.Timedelta(hours=37)),
        "timestamp_is_not_in_future": typed["timestamp"] <= now,
    }
    flags = pd.DataFrame({name: rule.fillna(False).astype(bool) for name, rule in rules.items()})
    is_good = flags.all(axis=1)
    good = typed[is_good].copy()
    good["_source_row"] = frame.loc[is_good, "_source_row"]
    good["_row_hash"] = pd.util.hash_pandas_object(good.drop(columns="_source_row").astype(str), index=False)
    good = good.drop_duplicates(["symbol", "timestamp", "_row_hash"])
    good["_source_file"], good["_processed_at"] = "bars.csv", now
    good["business_date"], good["institution"] = DATE, "institution_a"
    bad = frame[~is_good].copy()
    broken = ~flags[~is_good]
    bad["reason"] = broken.dot(broken.columns + "; ")
    good.to_parquet(target / "good.parquet", compression="zstd")
    bad.to_parquet(target / "bad.parquet", compression="zstd")


def main() -> None:
    """Alternating rounds in fresh processes; CPU seconds of the work, as ratios to the hand-written Polars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, metavar=("NAME", "SOURCE", "TARGET"))
    options = parser.parse_args()
    if options.child:
        name, source, target = options.child
        for module in IMPORTS[name]:
            importlib.import_module(module)
        measure.work(lambda: globals()[f"run_{name}"](Path(source), Path(target)))
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "bars.csv"
        write_input(source, options.rows)
        runs: dict[str, list[measure.Measurement]] = {name: [] for name in CONTESTANTS}
        for _ in range(options.rounds):
            for name in CONTESTANTS:
                with tempfile.TemporaryDirectory(dir=folder) as target:
                    runs[name].append(measure.run("benchmarks.silver", "--child", name, str(source), target))
    lines = []
    for name, measured in runs.items():
        cpu = sorted(m.cpu_seconds / r.cpu_seconds for m, r in zip(measured, runs["polars"], strict=True))
        figures = [measure.median(measured, f) for f in ("cpu_seconds", "seconds", "peak_mb")]
        lines.append(
            [name, *(f"{value:.2f}" for value in figures[:2]), f"{figures[2]:.0f}", f"{cpu[len(cpu) // 2]:.2f}"]
        )
    highest = max(m.peak_mb for m in runs["platform"])
    assert highest <= LIMIT_MB, f"peak memory: found {highest:.0f} MB, expected at most the plan's {LIMIT_MB:,} MB"
    table = measure.markdown(["contestant", "CPU s", "wall s", "peak MB", "CPU ratio to polars"], lines)
    page = (
        f"# Landing to silver, {options.rows:,} OHLCV rows\n\n{table}\n\n"
        f"Medians of {options.rounds} alternating rounds, each run in a fresh process. The memory plan allows the "
        f"platform {LIMIT_MB:,} MB; its highest peak was {highest:.0f} MB. "
        f"{measure.machine('polars', 'pandera', 'pyarrow', 'pandas')}\n"
    )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(page)
    print(page)


if __name__ == "__main__":
    main()

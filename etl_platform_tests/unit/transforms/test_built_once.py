"""What is built once and handed out many times: no caller changes what the next one gets."""

from __future__ import annotations

import gc
from dataclasses import replace

import polars as pl

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.contract import Contract
from etl_platform.readers.batch import REJECT_SCHEMA, no_rejects
from etl_platform.readers.no_rows import no_rows
from etl_platform.transforms.per_contract import once_per_contract
from etl_platform.transforms.row_hash import row_hash
from etl_platform.transforms.validate import find_failures


def test_an_expression_is_built_once_for_each_contract_and_dropped_with_it() -> None:
    built: list[str] = []

    @once_per_contract
    def named(contract: Contract) -> str:
        built.append(contract.title)
        return contract.title

    contract, equal = replace(BUILT_IN["prices"], title="one"), replace(BUILT_IN["prices"], title="other")
    assert [named(contract), named(equal), named(contract)] == ["one", "other", "one"]
    assert built == ["one", "other"]
    del contract
    gc.collect()
    assert named(replace(BUILT_IN["prices"], title="third")) == "third"


def test_contracts_of_other_parameters_have_rules_of_their_own() -> None:
    strict, wide = (BUILT_IN["prices"].bind({"symbol_pattern": pattern}) for pattern in ("^[A-Z]+$", "^.+$"))
    schema = BUILT_IN["prices"].silver.polars_schema
    frame = pl.DataFrame([{**dict.fromkeys(schema), "symbol": "aaa"}], schema=schema)
    broken = [set(find_failures(frame, contract)["rule"]) for contract in (strict, wide, strict)]
    assert broken[0] - broken[1] == {"symbol_is_well_formed"} and broken[2] == broken[0]
    assert frame.select(row_hash(strict)).item() == frame.select(row_hash(wide)).item()


def test_an_empty_frame_that_is_filled_leaves_the_next_one_empty() -> None:
    schema = pl.Schema({"n": pl.Int64()})
    no_rows(schema).extend(pl.DataFrame({"n": [1]}))
    no_rejects().extend(pl.DataFrame([(1, "rule", "found", "raw")], schema=REJECT_SCHEMA, orient="row"))
    assert no_rows(schema).is_empty() and no_rows(schema).schema == schema
    assert no_rejects().is_empty() and no_rejects().schema == REJECT_SCHEMA

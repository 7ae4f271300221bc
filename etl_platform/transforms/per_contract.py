"""Expressions that depend on the contract alone, built once: building them takes longer than a small file's rows do."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from etl_platform.contracts.contract import Contract

T = TypeVar("T")


def once_per_contract(build: Callable[[Contract], T]) -> Callable[[Contract], T]:
    """`build`, called once for each contract object; what it gives is kept as long as the contract is."""
    held: dict[int, T] = {}

    @wraps(build)
    def built(contract: Contract) -> T:
        # By identity: a contract holds mappings and schemas, which have no hash.
        if id(contract) not in held:
            held[id(contract)] = build(contract)
            weakref.finalize(contract, held.pop, id(contract), None).atexit = False
        return held[id(contract)]

    return built

"""Under which rules a row was judged: the bound contract and the sender's dialect as one document, and its fingerprint.

Belongs here: what makes two versions differ. Not here: keeping them (`ledger/versions.py`).

The fingerprint covers what people agree on: columns and types, rules by name, sentence, columns and expression,
parameters, key, what a missing value becomes, and how the institution writes its values. Of an expression it holds a
digest of what Polars makes of it, which another version of Polars may write differently: that is another version, too.
A Python function inside an expression (the check digit of an ISIN) has no such form: its rule's sentence stands for it,
so reword the sentence when you change the function. The SQL of a declared rule is in its declaration.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.institutions.model import Institution
from etl_platform.transforms.validate import rule_expressions


def rule_document(contract: Contract, institution: Institution) -> dict[str, Any]:
    """What decides about a row of `institution`, as plain values. `contract` is bound to it."""
    config = institution.datasets.get(contract.dataset)
    expressions = _digests(_Same(contract))
    return {
        "dataset": contract.dataset,
        "columns": [[column.name, str(column.dtype), column.nullable] for column in contract.columns],
        "rules": [
            [rule.name, rule.sentence, list(rule.columns), expressions.get(rule.name)] for rule in contract.rules
        ],
        "parameters": dict(contract.parameters),
        "key": list(contract.key),
        "event_time": contract.event_time,
        # One field for both: what has no occurrences keeps the name that its version always had.
        "deduplicates": "occurrence" if contract.by_occurrence else contract.deduplicates,
        "declaration": contract.declaration.model_dump(mode="json") if contract.declaration else None,
        "sender": {
            "time_zone": institution.time_zone,
            **(config.model_dump(mode="json", exclude={"key_pattern", "limits"}) if config else {}),
        },
    }


class _Same:
    """A contract as key of a cache: contracts hold mappings and have no hash, and one is bound once and used often."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    def __hash__(self) -> int:
        return id(self.contract)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.contract is self.contract


# 5 ms a contract, and a history has thousands of partitions.
@lru_cache(maxsize=256)
def _digests(of: _Same) -> dict[str, str]:
    return {name: _digest(expression) for name, _, expression in rule_expressions(of.contract)}


def _digest(expression: pl.Expr) -> str:
    return fingerprint(as_text(_without_code(json.loads(expression.meta.serialize(format="json")))))


def _without_code(node: Any) -> Any:
    """`node` without pickled functions, whose bytes differ between versions of Python."""
    if isinstance(node, list):
        return [_without_code(part) for part in node]
    if not isinstance(node, dict):
        return node
    function = node.get("AnonymousFunction")
    if isinstance(function, dict):
        node = {"AnonymousFunction": function.get("input")}
    return {name: _without_code(part) for name, part in node.items()}


def as_text(document: Any) -> str:
    """The document in one canonical form."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)


def fingerprint(text: str) -> str:
    """Names a version: the same rules give the same name on every machine."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]

"""Under which rules a row was judged: the bound contract and the sender's dialect as one document, and its fingerprint.

Belongs here: what makes two versions differ. Not here: keeping them (`ledger/versions.py`).

The fingerprint covers what people agree on: columns and types, rules by name, sentence and columns, parameters, key,
what a missing value becomes, and how the institution writes its values. Of a declared dataset also the rules' own
expressions; of one written in Python the sentences stand for them: reword the sentence when you change its rule.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from etl_platform.contracts.contract import Contract
from etl_platform.institutions.model import Institution


def rule_document(contract: Contract, institution: Institution) -> dict[str, Any]:
    """What decides about a row of `institution`, as plain values. `contract` is bound to it."""
    config = institution.datasets.get(contract.dataset)
    return {
        "dataset": contract.dataset,
        "columns": [[column.name, str(column.dtype), column.nullable] for column in contract.columns],
        "rules": [[rule.name, rule.sentence, list(rule.columns)] for rule in contract.rules],
        "parameters": dict(contract.parameters),
        "key": list(contract.key),
        "event_time": contract.event_time,
        "deduplicates": contract.deduplicates,
        "declaration": contract.declaration.model_dump(mode="json") if contract.declaration else None,
        "sender": {
            "time_zone": institution.time_zone,
            **(config.model_dump(mode="json", exclude={"key_pattern", "limits"}) if config else {}),
        },
    }


def as_text(document: dict[str, Any]) -> str:
    """The document in one canonical form."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)


def fingerprint(text: str) -> str:
    """Names a version: the same rules give the same name on every machine."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]

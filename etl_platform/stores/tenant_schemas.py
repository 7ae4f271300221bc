"""Where a table lies in a warehouse: in its institution's schema, or in the one that all share.

Belongs here: which schema. Not here: making schemas and their rights (each warehouse's own).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from etl_platform.errors import UnknownNameError

SHARED_SCHEMA = "shared"


def schema_of(institution: str | None, schemas: Mapping[str, str]) -> str:
    """The schema of an institution's tables; that of the tables across institutions for None. schemas: by institution.

    Raises UnknownNameError.
    """
    if institution is None:
        return SHARED_SCHEMA
    try:
        return schemas[institution]
    except KeyError:
        near = difflib.get_close_matches(institution, schemas, n=3) or schemas
        raise UnknownNameError(
            f"institution {institution!r}",
            found="it has no warehouse schema",
            expected=" or ".join(sorted(near)) or "an institution file",
        ) from None

"""Which schema holds whose tables: one institution, one schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from etl_platform.contracts.identifiers import quote
from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import ConfigurationError
from etl_platform.stores.postgres.roles import role_of
from etl_platform.stores.tenant_schemas import SHARED_SCHEMA, schema_of

_RESERVED = ("public", "information_schema", SHARED_SCHEMA)


class Schemas:
    """Institution codes to schemas. Raises ConfigurationError for names that are reserved or used twice."""

    def __init__(self, schemas: Mapping[str, str]) -> None:
        self._schemas = dict(schemas)
        uses = Counter(self._schemas.values())
        for institution, schema in self._schemas.items():
            quote(role_of(schema), "postgres")
            if schema in _RESERVED or schema.startswith("pg_") or uses[schema] > 1:
                raise ConfigurationError(
                    f"institution {institution} warehouse schema {schema!r}",
                    found="a reserved name" if uses[schema] == 1 else "the schema of another institution too",
                    expected="a schema of its own",
                    next_step="change the schema in the institution's file",
                )

    @property
    def all(self) -> list[str]:
        """Every schema, the shared one last."""
        return [*sorted(self._schemas.values()), SHARED_SCHEMA]

    def group(self, keys: Sequence[PartitionKey]) -> dict[str, list[PartitionKey]]:
        """`keys` by the schema that holds them, schemas in order. Raises UnknownNameError."""
        groups: dict[str, list[PartitionKey]] = {}
        for key in keys:
            groups.setdefault(schema_of(key.institution, self._schemas), []).append(key)
        return dict(sorted(groups.items()))

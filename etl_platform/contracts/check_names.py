"""The names of all checks that are no rule of a dataset. A check has its name from here, and no rule may take one."""

from __future__ import annotations

from typing import Final


class CheckName:
    """Checks of every silver table, of every gold table, and of some. Plain texts: Dagster stores no enumeration."""

    SCHEMA: Final = "schema_matches_contract"
    KEYS: Final = "keys_are_unique"
    CONSERVED: Final = "rows_are_conserved"
    SHARE: Final = "quarantined_share_is_within_limit"
    FILES: Final = "every_file_is_readable"
    VOLUME: Final = "volume_is_usual"
    DRIFT: Final = "schema_has_not_drifted"
    MAGNITUDES: Final = "magnitudes_are_usual"
    CATEGORIES: Final = "categories_are_known"
    HOURS: Final = "hours_are_usual"
    ACCOUNTS: Final = "accounts_are_known"


CHECK_NAMES = frozenset(value for name, value in vars(CheckName).items() if name.isupper())

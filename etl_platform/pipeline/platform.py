"""What a delivery passes through: the configuration, and the places where objects, rows and records lie."""

from __future__ import annotations

from dataclasses import dataclass

from etl_platform.landing.copies import BronzeStore
from etl_platform.landing.zone import LandingZone
from etl_platform.ledger.ledger import Ledger
from etl_platform.pipeline.configuration import Configuration
from etl_platform.stores.store import TableStore


@dataclass(frozen=True)
class Platform:
    """One platform, with the stores that it was configured for."""

    config: Configuration
    landing: LandingZone
    bronze: BronzeStore
    ledger: Ledger
    lake: TableStore
    warehouse: TableStore

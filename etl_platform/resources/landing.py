"""The landing zone: where institutions put files, and whose each object is.

Belongs here: listing landing roots and routing keys to (institution, dataset, business date). Not here: copying
(`bronze.py`), remembering (`ledger/`), the decision to run (`defs/sensors.py`).
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.key_pattern import KeyMatch
from etl_platform.institutions.model import Institution
from etl_platform.ledger.records import LandingObject
from etl_platform.resources.object_store import ObjectInfo, ObjectStore, S3Options, open_object_store
from etl_platform.settings import Settings


@dataclass(frozen=True)
class Routed:
    """One landing object that belongs to a partition. captured: names that the key pattern caught (`symbol`, ...)."""

    institution: str
    dataset: str
    business_date: dt.date
    captured: Mapping[str, str]
    info: ObjectInfo

    def landing_object(self) -> LandingObject:
        """The object in the ledger's words."""
        return _landing_object(self.info, self.institution, self.dataset, self.business_date)


@dataclass(frozen=True)
class Unrouted:
    """One landing object that belongs to nobody, and why."""

    info: ObjectInfo
    reason: str

    def landing_object(self) -> LandingObject:
        """The object in the ledger's words."""
        return _landing_object(self.info, None, None, None)


def _landing_object(
    info: ObjectInfo, institution: str | None, dataset: str | None, business_date: dt.date | None
) -> LandingObject:
    return LandingObject(
        institution=institution,
        dataset=dataset,
        business_date=business_date,
        uri=info.uri,
        key=info.key,
        etag=info.etag,
        version=info.version,
        size=info.size,
        last_modified=info.last_modified,
    )


@dataclass(frozen=True)
class Root:
    """One landing root and the institutions that deliver there."""

    store: ObjectStore
    institutions: tuple[str, ...]


class LandingZone:
    """All landing roots. Building one does no I/O; every listing raises StorageUnavailableError / StorageError."""

    def __init__(
        self,
        roots: tuple[Root, ...],
        institutions: Mapping[str, Institution],
        first_date: dt.date,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.roots = roots
        self._institutions = institutions
        self._first_date = first_date
        self._clock = clock

    def store_of(self, institution: str) -> ObjectStore:
        """The landing root of `institution`."""
        return next(root.store for root in self.roots if institution in root.institutions)

    def objects(self, dataset: str, partition: PartitionKey) -> list[Routed]:
        """Every object that is now in the landing zone for one dataset and partition, sorted by key."""
        institution = self._institutions[partition.institution or ""]
        if dataset not in institution.datasets:
            return []
        root = next(r for r in self.roots if institution.code in r.institutions)
        prefix = institution.pattern(dataset).prefix(institution.code, dataset, partition.business_date)
        routed = (self.route(root, info) for info in root.store.list(prefix))
        return [
            found
            for found in routed
            if isinstance(found, Routed)
            and (found.institution, found.dataset, found.business_date)
            == (institution.code, dataset, partition.business_date)
        ]

    def listing(self, root: Root, *, start_after: str | None = None) -> Iterator[Routed | Unrouted]:
        """Every object under `root`, sorted by key, routed."""
        for info in root.store.list(start_after=start_after):
            yield self.route(root, info)

    def route(self, root: Root, info: ObjectInfo) -> Routed | Unrouted:
        """Whose object this is. One that fits no pattern, two tenants, or no known date belongs to nobody."""
        claims = [(code, match) for code in root.institutions for match in self._matches(code, info.key)]
        if not claims:
            return Unrouted(info, "the key fits no institution's key pattern and datasets")
        if len(claims) > 1:
            claimants = ", ".join(sorted({f"{code} {match.dataset}" for code, match in claims}))
            return Unrouted(info, f"the key fits more than one pattern: {claimants}")
        code, match = claims[0]
        today = self._clock().astimezone(zoneinfo.ZoneInfo(self._institutions[code].time_zone)).date()
        if not self._first_date <= match.business_date <= today:
            return Unrouted(
                info,
                f"business date {match.business_date} of {code} {match.dataset} is outside {self._first_date} "
                f"(ETL_FIRST_DATE) .. {today} (today in {self._institutions[code].time_zone})",
            )
        return Routed(code, match.dataset, match.business_date, match.captured, info)

    def _matches(self, code: str, key: str) -> list[KeyMatch]:
        institution = self._institutions[code]
        found: dict[str, KeyMatch] = {}
        for dataset in institution.datasets:
            match = institution.pattern(dataset).match(key, code, dataset)
            if match is not None:
                found[dataset] = match
        return list(found.values())


def build_landing_zone(settings: Settings, institutions: Mapping[str, Institution], s3: S3Options) -> LandingZone:
    """One root per distinct landing URL and credentials. Does no I/O."""
    grouped: dict[tuple[str, str | None], list[str]] = {}
    for code, institution in institutions.items():
        if institution.credentials and not institution.landing:
            raise ConfigurationError(
                f"institution {code} field credentials",
                found="credentials without a landing root",
                expected="`landing:` too",
            )
        grouped.setdefault((institution.landing or settings.landing_root, institution.credentials), []).append(code)
    roots = []
    seen: dict[str, list[str]] = {}
    for (url, reference), codes in grouped.items():
        if url in seen:
            # Two roots over the same objects would each report the other's as belonging to nobody.
            raise ConfigurationError(
                f"institution {codes[0]} field credentials",
                found=f"landing {url} with other credentials than {', '.join(seen[url])}",
                expected="one pair of credentials per landing root",
            )
        seen[url] = codes
        options = s3
        if reference:
            key_id, secret = settings.aws_credentials(reference)
            options = s3.model_copy(
                update={"access_key_id": key_id, "secret_access_key": secret, "session_token": None}
            )
        service = "landing" if url == settings.landing_root else f"landing {' '.join(sorted(codes))}"
        roots.append(Root(open_object_store(url, options, settings.retries, service=service), tuple(codes)))
    return LandingZone(tuple(roots), institutions, settings.first_date)

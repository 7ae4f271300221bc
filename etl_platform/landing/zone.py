"""The landing zone: where institutions put files, and whose each object is.

Belongs here: listing landing roots and routing keys to (institution, dataset, business date). Not here: copying
(`bronze.py`), remembering (`ledger/`), the decision to run (`defs/sensors.py`).
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.faults import is_of_faulty
from etl_platform.institutions.ignored import below_prefix, ignored_reason
from etl_platform.institutions.key_pattern import KeyMatch
from etl_platform.institutions.model import Institution
from etl_platform.ledger.records import LandingObject
from etl_platform.object_store.open import ObjectInfo, ObjectStore, S3Options, open_object_store
from etl_platform.settings import Settings

SHARED = "landing"
"""Name of the root of all institutions that have none of their own."""


def root_name(institution: Institution) -> str:
    """The name of the root below which the keys of `institution` lie: it stays when the folder or bucket moves."""
    return institution.code if institution.landing else SHARED


HELD_REASON = "it belongs to an institution that is out of use: `etl-platform doctor` says why"


@dataclass(frozen=True)
class Routed:
    """One landing object that belongs to a partition. captured: names that the key pattern caught (`symbol`, ...).
    root: name of its landing root; also: other names that the same place may have had."""

    institution: str
    dataset: str
    business_date: dt.date
    captured: Mapping[str, str]
    info: ObjectInfo
    root: str = SHARED
    also: tuple[str, ...] = ()

    def landing_object(self) -> LandingObject:
        """The object in the ledger's words."""
        found = _landing_object(self.info, self.root, self.also)
        return replace(found, institution=self.institution, dataset=self.dataset, business_date=self.business_date)


@dataclass(frozen=True)
class Unrouted:
    """One landing object that belongs to nobody, and why. is_ignored: by its name, which is no fault of anybody.
    is_held: only until its institution's file is repaired."""

    info: ObjectInfo
    reason: str
    root: str = SHARED
    also: tuple[str, ...] = ()
    is_ignored: bool = False
    is_held: bool = False

    def landing_object(self) -> LandingObject:
        """The object in the ledger's words."""
        found = _landing_object(self.info, self.root, self.also)
        return replace(found, is_ignored=self.is_ignored, is_held=self.is_held)


def _landing_object(info: ObjectInfo, root: str, also: tuple[str, ...]) -> LandingObject:
    return LandingObject(
        institution=None,
        dataset=None,
        business_date=None,
        root=root,
        uri=info.uri,
        key=info.key,
        etag=info.etag,
        version=info.version,
        size=info.size,
        last_modified=info.last_modified,
        also=also,
    )


@dataclass(frozen=True)
class Root:
    """One landing root and the institutions that deliver there. name: of what belongs to none of them; an object of an
    institution with a landing of its own carries that institution's code."""

    store: ObjectStore
    institutions: tuple[str, ...]
    name: str = SHARED


class LandingZone:
    """All landing roots. Building one does no I/O; every listing raises StorageUnavailableError / StorageError."""

    def __init__(
        self,
        roots: tuple[Root, ...],
        institutions: Mapping[str, Institution],
        first_date: dt.date,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        is_held: Callable[[str], bool] = lambda key: False,
    ) -> None:
        """is_held: whether a key may be that of an institution whose file is broken, which nobody must take away."""
        self.roots = roots
        self._institutions = institutions
        self._first_date = first_date
        self._clock = clock
        self._is_held = is_held
        self._names = {root: self._names_of(root) for root in roots}
        self._also = {root: names if len(names) > 1 else () for root, names in self._names.items()}

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

    @property
    def root_names(self) -> dict[str, str]:
        """Institution -> name of the root that it delivers to."""
        return {code: root_name(institution) for code, institution in self._institutions.items()}

    def names_of(self, root: Root) -> tuple[str, ...]:
        """Every name under which an object below `root` may be on record."""
        return self._names[root]

    def _names_of(self, root: Root) -> tuple[str, ...]:
        own = {root_name(self._institutions[code]) for code in root.institutions}
        return tuple(sorted({root.name, *own}))

    def route(self, root: Root, info: ObjectInfo) -> Routed | Unrouted:
        """Whose object this is. One that fits no pattern, two tenants, or no known date belongs to nobody, and so does
        one that is ignored by its name."""
        claims = [(code, match) for code in root.institutions for match in self._matches(code, info.key)]
        also = self._also[root]
        owners = self._owners(root, info.key, [code for code, _ in claims])
        patterns = tuple(pattern for code in owners for pattern in self._institutions[code].ignore)
        ignored = ignored_reason(below_prefix(info.key, owners[0]) if owners else info.key, patterns)
        if ignored:
            return Unrouted(info, ignored, root.name, also, is_ignored=True)
        routed = self._routed(claims, info)
        if isinstance(routed, str):
            is_held = not claims and self._is_held(info.key)
            return Unrouted(info, HELD_REASON if is_held else routed, root.name, also, is_held=is_held)
        code, match = routed
        root_of = root_name(self._institutions[code])
        return Routed(code, match.dataset, match.business_date, match.captured, info, root_of, also)

    def _routed(self, claims: Sequence[tuple[str, KeyMatch]], info: ObjectInfo) -> tuple[str, KeyMatch] | str:
        """The one claim that holds, or why none does."""
        if not claims:
            return "the key fits no institution's key pattern and datasets"
        if len(claims) > 1:
            claimants = ", ".join(sorted({f"{code} {match.dataset}" for code, match in claims}))
            return f"the key fits more than one pattern: {claimants}"
        code, match = claims[0]
        today = self._clock().astimezone(zoneinfo.ZoneInfo(self._institutions[code].time_zone)).date()
        if not self._first_date <= match.business_date <= today:
            return (
                f"business date {match.business_date} of {code} {match.dataset} is outside {self._first_date} "
                f"(ETL_FIRST_DATE) .. {today} (today in {self._institutions[code].time_zone})"
            )
        return code, match

    def _owners(self, root: Root, key: str, claimants: Sequence[str]) -> Sequence[str]:
        """Whose `ignore:` speaks of a key: those who claim it, or in whose folder it lies. Nobody ignores what is
        another's."""
        return claimants or [c for c in root.institutions if len(root.institutions) == 1 or key.startswith(f"{c}/")]

    def _matches(self, code: str, key: str) -> list[KeyMatch]:
        institution = self._institutions[code]
        found: dict[str, KeyMatch] = {}
        for dataset in institution.datasets:
            match = institution.pattern(dataset).match(key, code, dataset)
            if match is not None:
                found[dataset] = match
        return list(found.values())


def shared_name(institutions: Mapping[str, Institution], codes: Sequence[str]) -> str:
    """The name of a root for what belongs to none of its institutions `codes`."""
    names = {root_name(institutions[code]) for code in codes}
    return SHARED if SHARED in names else min(names)


def build_landing_zone(settings: Settings, institutions: Mapping[str, Institution], s3: S3Options) -> LandingZone:
    """One root per distinct landing URL. Does no I/O. That each URL has one pair of credentials, and that they are
    set, was held when the institutions were loaded."""
    roots: dict[str, tuple[ObjectStore, list[str]]] = {}
    for code, institution in institutions.items():
        store = landing_store(settings, institution, s3)
        # By the store's own spelling: a folder is one root as path and as file:// address.
        roots.setdefault(store.url, (store, []))[1].append(code)
    built = tuple(Root(store, tuple(codes), shared_name(institutions, codes)) for store, codes in roots.values())
    return LandingZone(built, institutions, settings.first_date, is_held=partial(is_of_faulty, institutions))


def landing_store(settings: Settings, institution: Institution, s3: S3Options) -> ObjectStore:
    """Where `institution` delivers to, opened with its credentials."""
    options = s3
    if institution.credentials:
        key_id, secret = settings.aws_credentials(institution.credentials)
        options = s3.model_copy(update={"access_key_id": key_id, "secret_access_key": secret, "session_token": None})
    service = f"landing {institution.code}" if institution.landing else "landing"
    return open_object_store(institution.landing or settings.landing_root, options, settings.retries, service=service)


def landing_root_of(settings: Settings) -> Callable[[Institution], str]:
    """A look at where an institution delivers to, for when its file is read: the root in one spelling.

    It raises ConfigurationError, with the field as subject, where credentials are missing or the URL is refused. Of
    the platform's own root it is this function that raises: that is nobody's file.
    """
    platforms = open_object_store(settings.landing_root).url

    def root_of(institution: Institution) -> str:
        field = "credentials"
        try:
            if institution.credentials:
                settings.aws_credentials(institution.credentials)
            field = "landing"
            return open_object_store(institution.landing).url if institution.landing else platforms
        except ConfigurationError as error:
            raise ConfigurationError(f"field {field}", found=error.found, expected=error.expected) from None

    return root_of

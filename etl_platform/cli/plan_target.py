"""Which file a person means, and the partition that it belongs to: by its landing key, or by what they say.

Belongs here: finding and fetching one file. Not here: what would become of it (`plan.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from etl_platform.cli.choices import parse_dates, parse_institutions, parse_names
from etl_platform.cli.run import last_date
from etl_platform.cli.session import Session
from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import UnknownNameError
from etl_platform.institutions.faults import require_usable
from etl_platform.landing.zone import Root, Routed, Unrouted
from etl_platform.object_store.open import ObjectInfo, ObjectStore, open_object_store
from etl_platform.resources.s3_settings import s3_options

NEXT = "give --institution, --dataset and --date, or correct the key"


@dataclass(frozen=True)
class PlanTarget:
    """One file and its partition. captured: what the key pattern caught. path: where it is, if on this machine."""

    key: str
    uri: str
    dataset: str
    partition: PartitionKey
    captured: Mapping[str, str] = field(default_factory=dict)
    store: ObjectStore | None = None
    path: Path | None = None

    def fetch(self, folder: Path) -> Path:
        """The file on local disk; in `folder` where it has to be fetched."""
        if self.path is not None:
            return self.path
        assert self.store is not None
        self.store.download(self.key, folder / "file")
        return folder / "file"


def find_target(
    session: Session, text: str, institution: str | None, dataset: str | None, date: str | None
) -> PlanTarget:
    """The file at `text` (landing key, s3:// or file:// address, or path). What is given overrides what its key says.

    Raises UnknownNameError where there is no such file, or nobody knows whose it is.
    """
    landed = _landed(session, text)
    routed = session.landing.route(*landed) if landed else None
    claim = routed if isinstance(routed, Routed) else None
    reason = routed.reason if isinstance(routed, Unrouted) else "a file outside of every landing root"
    code = institution or (claim.institution if claim else None)
    name = dataset or (claim.dataset if claim else None)
    day = _day(session, date) if date else claim.business_date if claim else None
    if code is None and landed and isinstance(routed, Unrouted):
        _require_usable(session, landed[1].key)
    if code is not None:
        code = parse_institutions(code, session.graph)[0]
    if name is not None:
        sent = session.graph.institutions[code].datasets if code else session.graph.contracts
        name = parse_names(name, sent, "dataset")[0]
    if code is None or name is None or day is None:
        if landed is None and "://" not in text and not Path(text).expanduser().is_file():
            raise _missing(session, text)
        raise UnknownNameError(f"file {text}", found=reason, expected="its partition", next_step=NEXT)
    partition = PartitionKey(day, code)
    if landed is not None:
        root, info = landed
        return PlanTarget(
            info.key, info.uri, name, partition, _captured(session, info.key, code, name), store=root.store
        )
    return _elsewhere(session, text, name, partition)


def _require_usable(session: Session, key: str) -> None:
    """A key of an institution that is out of use: the reason is its file, not the key."""
    for fault in session.graph.faults:
        if session.graph.is_of_faulty(key) and fault.claims(key):
            require_usable(fault.institution, session.graph.faults)


def _day(session: Session, date: str) -> dt.date:
    day, *more = parse_dates(date, session.settings.first_date, last_date(session))
    if more:
        raise UnknownNameError("--date", found=date, expected="one business date: a file belongs to one")
    return day


def _captured(session: Session, key: str, code: str, dataset: str) -> Mapping[str, str]:
    match = session.graph.institutions[code].pattern(dataset).match(key, code, dataset)
    return match.captured if match else {}


def _landed(session: Session, text: str) -> tuple[Root, ObjectInfo] | None:
    """The object in the landing zone that `text` names."""
    for root in session.landing.roots:
        key = _key_under(root.store.url, text)
        if key and (info := root.store.head(key)):
            return root, info
    return None


def _key_under(root: str, text: str) -> str | None:
    if "://" not in text:
        path = Path(text).expanduser()
        if not path.is_file():
            return text if not path.is_absolute() else None
        text = path.absolute().as_uri()
    if not text.startswith(f"{root}/"):
        return None
    key = text.removeprefix(f"{root}/")
    return unquote(key) if root.startswith("file:") else key


def _elsewhere(session: Session, text: str, dataset: str, partition: PartitionKey) -> PlanTarget:
    """A file outside of the landing zone."""
    if "://" not in text:
        path = Path(text).expanduser().absolute()
        if not path.is_file():
            raise _missing(session, text)
        return PlanTarget(path.name, path.as_uri(), dataset, partition, path=path)
    parent, _, name = text.rpartition("/")
    store = open_object_store(parent, s3_options(session.settings))
    if not name or store.head(name) is None:
        raise _missing(session, text)
    return PlanTarget(name, store.uri(name), dataset, partition, store=store)


def _missing(session: Session, text: str) -> UnknownNameError:
    roots = ", ".join(root.store.url for root in session.landing.roots)
    return UnknownNameError(
        f"file {text}", found="nothing there", expected=f"a key below {roots}, an s3:// or file:// address, or a path"
    )

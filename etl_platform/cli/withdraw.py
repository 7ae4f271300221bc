"""`etl-platform withdraw`: take one object out of its partition, on record, or put it back."""

from __future__ import annotations

import datetime as dt
import difflib
import getpass
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import click

from etl_platform.cli.choices import parse_institutions
from etl_platform.cli.session import Session, open_console, open_session, plain
from etl_platform.errors import ConfigurationError, EtlError, UnknownNameError
from etl_platform.landing.zone import root_name
from etl_platform.ledger.records import CURRENT, LedgerObject, State
from etl_platform.limits import HASH_CHARACTERS, NEAR_KEYS_COMPARED, NEAR_KEYS_SHOWN
from etl_platform.object_store.open import Downloaded


@click.command()
@click.argument("key")
@click.option("--reason", help="Why; it stays on record.")
@click.option("--institution", help="Code, where several landing roots hold such a key.")
@click.option("--content", metavar="SHA256", help="Which content of the key: its hash, or how it begins.")
@click.option("--undo", is_flag=True, help="Put it back: of several the one in landing, else the last withdrawn.")
@click.option("--by", help="Who asks. Default: the user of this machine.")
def withdraw(
    key: str, reason: str | None, institution: str | None, content: str | None, undo: bool, by: str | None
) -> None:
    """Take the object at KEY out of its partition: its key below the landing root, or its address.

    For a file that should never have come: its rows leave the tables with the partition's next run, and a refused one
    blocks nothing any more. The file itself and its copy in bronze stay. Sent again with the same bytes it stays
    withdrawn; with other bytes it is a new delivery. In `write_mode: append` overwritten contents of a key count as
    well: --content tells which one is meant.

    \b
      etl-platform withdraw institution_a/prices/2025-01-15/notes.txt --reason "uploaded by mistake"
      etl-platform withdraw institution_a/prices/2025-01-15/notes.txt --undo
    """
    if not undo and not (reason or "").strip():
        raise ConfigurationError(
            "--reason",
            found="nothing",
            expected="why it is withdrawn, in a few words",
            next_step="say why; nothing was changed",
        )
    session = open_session()
    found = _object(session, key, institution, content, undo)
    who, now = by or getpass.getuser(), dt.datetime.now(dt.UTC)
    if undo:
        done = session.ledger.undo_withdrawal(found, by=who, now=now, beside=_keeps_all(session, found))
    else:
        found = _with_hash(session, found)
        done = session.ledger.withdraw(found, reason=(reason or "").strip(), by=who, now=now)
    if not done:
        raise _refused(key, _told(found), undo)
    which = f"{found.institution} {found.dataset} {found.business_date}"
    told = "put back; the next run loads it" if undo else "withdrawn; the next run leaves it out"
    said = [f"{found.key} ({which}; {_content(found)}): {told}"]
    if not undo and _is_replaced(session, found):
        said.append("other bytes lie under the key by now: the next run loads them, unless they are withdrawn after it")
    for line in said:
        open_console().print(plain(line), soft_wrap=True)


def _content(found: LedgerObject) -> str:
    """Which content of its key is meant, as a person can tell it from the others."""
    known = f", sha256 {found.sha256[:HASH_CHARACTERS]}" if found.sha256 else ""
    return f"{found.size} bytes of {found.last_modified:%Y-%m-%d %H:%M:%S} UTC{known}"


def _to_put_back(session: Session, withdrawn: Sequence[LedgerObject]) -> LedgerObject:
    """Of the withdrawn contents of one key the one that lies in landing now: any other would be published while its
    sender shows this one. Else the one withdrawn last."""
    there = _in_landing(session, withdrawn[-1]) if len(withdrawn) > 1 else None
    is_there = [row for row in withdrawn if there and _is_of(there, row)]
    return max(is_there or withdrawn, key=lambda row: (row.updated_at, row.id))


def _is_of(there: Downloaded, row: LedgerObject) -> bool:
    # By its bytes, where they are known: a file may have another's time, and be put back under a new one.
    return row.sha256 == there.sha256 if row.sha256 else row.etag is not None and row.etag == there.etag


def _in_landing(session: Session, found: LedgerObject) -> Downloaded | None:
    """What lies under the key now, by its bytes; None: nothing, or it cannot be read now."""
    if found.institution not in session.graph.institutions:
        return None
    with suppress(EtlError):
        return session.landing.store_of(found.institution or "").digest(found.key)
    return None


def _is_replaced(session: Session, found: LedgerObject) -> bool:
    there = _in_landing(session, found) if found.sha256 else None
    return there is not None and there.sha256 != found.sha256


def _with_hash(session: Session, found: LedgerObject) -> LedgerObject:
    """What no run has read is known by its bytes from now on: under another time it would be another content."""
    there = _in_landing(session, found) if found.sha256 is None else None
    return replace(found, sha256=there.sha256) if there and there.etag == found.etag else found


def _keeps_all(session: Session, found: LedgerObject) -> bool:
    """Whether overwritten contents of a key count, too."""
    contract = session.graph.contracts.get(found.dataset or "")
    return contract is not None and contract.write_mode == "append"


def _counts(session: Session, row: LedgerObject) -> bool:
    """Whether rows of it are, or will be, in its partition."""
    is_kept = row.state is State.SUPERSEDED and row.is_published and _keeps_all(session, row)
    return row.state in CURRENT or is_kept


def _object(session: Session, key: str, institution: str | None, content: str | None, undo: bool) -> LedgerObject:
    """The one object that is meant. Raises UnknownNameError."""
    ledger = session.ledger
    rows = ledger.objects(key=key) or ledger.objects(uri=key)
    if institution is not None:
        code = parse_institutions(institution, session.graph)[0]
        own = root_name(session.graph.institutions[code])
        rows = [row for row in rows if row.institution == code or (row.institution is None and row.root == own)]
    if not rows:
        keys = ledger.near_keys(key, NEAR_KEYS_COMPARED)
        near = difflib.get_close_matches(key, keys, n=NEAR_KEYS_SHOWN, cutoff=0.5) or keys[:NEAR_KEYS_SHOWN]
        raise UnknownNameError(
            f"object {key!r}",
            found="no such key in the ledger",
            expected=" or ".join(near) or "a key below the landing root, as `etl-platform quarantine list` shows it",
            next_step="correct the key; nothing was changed",
        )
    wanted = [row for row in rows if (row.is_withdrawn if undo else _counts(session, row))]
    roots = sorted({row.root for row in wanted})
    if len(roots) > 1:
        raise UnknownNameError(
            f"object {key!r}",
            found=f"it in the landing roots {', '.join(roots)}",
            expected="one of them",
            next_step="name its sender with --institution, or give its address; nothing was changed",
        )
    if not wanted:
        raise _refused(key, _told(rows[-1]), undo)
    if content is not None:
        wanted = _of_hash(key, wanted, content)
    return _to_put_back(session, wanted) if undo else max(wanted, key=lambda row: (row.state in CURRENT, row.id))


def _of_hash(key: str, rows: Sequence[LedgerObject], content: str) -> list[LedgerObject]:
    """The one row whose content is meant. Raises UnknownNameError."""
    found = [row for row in rows if content and (row.sha256 or "").startswith(content.lower())]
    if len(found) != 1:
        raise UnknownNameError(
            f"--content {content!r} of object {key!r}",
            found=f"{len(found)} contents of that hash" if found else "no content of that hash",
            expected=" or ".join(_content(row) for row in rows),
            next_step="give as much of one hash as tells it from the others; nothing was changed",
        )
    return found


def _told(row: LedgerObject) -> str:
    if row.state is State.WITHDRAWN and row.reason:
        return row.reason  # says so itself
    return f"{row.state}: {row.reason}" if row.reason else str(row.state)


def _refused(key: str, found: str, undo: bool) -> UnknownNameError:
    what = "that was withdrawn, with nothing newer under its key" if undo else "that is part of a partition"
    expected = f"an object {what}"
    return UnknownNameError(
        f"object {key!r}", found=found, expected=expected, next_step="nothing was changed, and nothing needs to be"
    )

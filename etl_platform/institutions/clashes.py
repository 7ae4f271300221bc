"""Institutions that cannot both be right: one code, one schema, one landing root or one key for two of them.

Both are out, each with the other named: nobody but their people knows which of the two is meant. Decided from the
files alone; nothing is listed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from etl_platform.errors import ConfigurationError
from etl_platform.institutions.key_pattern import KeyPattern
from etl_platform.institutions.model import Institution

NEXT = "change one of them and reload the code location"
# Days that read differently where day and month change places, and one that does not.
_DATES = (dt.date(2025, 1, 15), dt.date(2024, 12, 31), dt.date(2025, 2, 3))
Clashes = Iterator[tuple[Path, ConfigurationError]]
_END = re.compile(r"[^{}/]*$")


@dataclass(frozen=True)
class Candidate:
    """An institution whose file is right by itself. root: the landing root that it delivers to, in one spelling."""

    path: Path
    institution: Institution
    root: str

    @property
    def code(self) -> str:
        return self.institution.code


def find_clashes(candidates: Sequence[Candidate]) -> dict[Path, ConfigurationError]:
    """What is wrong with each of `candidates` that does not get on with another, by its file: the first reason."""
    found: dict[Path, ConfigurationError] = {}
    for path, error in chain(_codes(candidates), _schemas(candidates), _credentials(candidates), _keys(candidates)):
        found.setdefault(path, error)
    return found


def _codes(candidates: Sequence[Candidate]) -> Clashes:
    for one, others in _sharing(candidates, lambda c: c.code):
        yield one.path, code_clash(one, [other.path for other in others])


def code_clash(one: Candidate, others: Sequence[Path]) -> ConfigurationError:
    """What is wrong with `one`, whose code the files `others` give, too."""
    return ConfigurationError(
        f"{one.path} field code",
        found=f"{one.code!r}, also in {', '.join(path.name for path in others)}",
        expected="a code of its own",
        next_step=NEXT,
    )


def _schemas(candidates: Sequence[Candidate]) -> Clashes:
    for one, others in _sharing(candidates, lambda c: c.institution.schema_name):
        yield (
            one.path,
            ConfigurationError(
                f"{one.path} field warehouse_schema",
                found=f"{one.institution.schema_name!r}, also that of {_named(others)}",
                expected="a schema of its own: tenants never share one",
                next_step=NEXT,
            ),
        )


def _credentials(candidates: Sequence[Candidate]) -> Clashes:
    """One root is listed with one pair of credentials: two listings of it would each find the other's strangers."""
    for one, others in _sharing(candidates, lambda c: c.root):
        mine = one.institution.credentials
        strangers = [other for other in others if other.institution.credentials != mine]
        # The platform's root is nobody's to reinterpret: who names it with other credentials is out alone.
        is_platforms = any(c.institution.landing is None for c in (one, *others))
        if strangers and not (is_platforms and mine is None):
            owner = "the platform (ETL_LANDING)" if is_platforms else _named(strangers)
            yield (
                one.path,
                ConfigurationError(
                    f"{one.path} field credentials",
                    found=f"landing {one.root} with other credentials than {owner}",
                    expected="one pair of credentials per landing root",
                    next_step=NEXT,
                ),
            )


def _sharing(
    candidates: Sequence[Candidate], what: Callable[[Candidate], Hashable]
) -> Iterator[tuple[Candidate, list[Candidate]]]:
    """Each candidate that has something in common with others, and those."""
    groups: dict[Hashable, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[what(candidate)].append(candidate)
    for group in groups.values():
        if len(group) > 1:
            yield from ((one, [other for other in group if other is not one]) for one in group)


def _named(candidates: Sequence[Candidate]) -> str:
    return ", ".join(f"{c.code} ({c.path.name})" for c in candidates)


@dataclass(frozen=True)
class _Claim:
    """The keys of one dataset of one institution."""

    owner: Candidate
    dataset: str

    @property
    def pattern(self) -> KeyPattern:
        return self.owner.institution.pattern(self.dataset)

    @property
    def prefix(self) -> str:
        return self.pattern.prefix(self.owner.code, self.dataset)

    def samples(self, other: _Claim) -> Iterator[str]:
        """Keys of this claim, a few of them ending as those of `other` do."""
        end = (_END.search(other.pattern.text.removesuffix("...")) or [""])[0]
        texts = ("SAMPLE", f"SAMPLE{end}")
        for date in _DATES:
            for text in texts:
                captured = dict.fromkeys(self.pattern.names, text)
                for file in (text, f"folder/{text}"):
                    yield self.pattern.render(self.owner.code, self.dataset, date, file, **captured)

    def takes(self, key: str) -> bool:
        return self.pattern.match(key, self.owner.code, self.dataset) is not None


def _keys(candidates: Sequence[Candidate]) -> Clashes:
    """Patterns of which one takes keys that the other would write. Both are told with such a key."""
    roots: dict[str, list[_Claim]] = defaultdict(list)
    for candidate in candidates:
        roots[candidate.root] += [_Claim(candidate, dataset) for dataset in candidate.institution.datasets]
    for claims in roots.values():
        for one, other in _near(claims):
            key = _key_of_both(one, other)
            if key is not None:
                yield one.owner.path, _key_clash(one, other, key)
                yield other.owner.path, _key_clash(other, one, key)


def _near(claims: Sequence[_Claim]) -> Iterator[tuple[_Claim, _Claim]]:
    """Pairs that can have a key in common: what one begins with is a beginning of what the other begins with.

    Sorted, these follow each other, so that a hundred tenants with the default pattern cost no pair at all.
    """
    ordered = sorted(((claim.prefix, claim) for claim in claims), key=lambda item: item[0])
    for number, (prefix, one) in enumerate(ordered):
        for further, other in ordered[number + 1 :]:
            if not further.startswith(prefix):
                break
            if one.owner.code != other.owner.code:
                yield one, other


def _key_of_both(one: _Claim, other: _Claim) -> str | None:
    mine = (key for key in one.samples(other) if other.takes(key))
    theirs = (key for key in other.samples(one) if one.takes(key))
    return next(chain(mine, theirs), None)


def _key_clash(one: _Claim, other: _Claim, key: str) -> ConfigurationError:
    return ConfigurationError(
        f"{one.owner.path} field key_pattern",
        found=f"{one.pattern.text!r} of {one.dataset}, which takes keys that {_named([other.owner])} takes as "
        f"{other.dataset}, e.g. {key}",
        expected="keys of its own, e.g. beginning with {institution}/",
        next_step=NEXT,
    )

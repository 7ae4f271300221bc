from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from etl_platform.errors import ConfigurationError
from etl_platform.institutions.model import Institution
from etl_platform.landing.zone import (
    HELD_REASON,
    LandingZone,
    Routed,
    Unrouted,
    build_landing_zone,
    landing_root_of,
)
from etl_platform.object_store.open import S3Options
from etl_platform.settings import Settings

NOW = dt.datetime(2025, 1, 15, 20, 0, tzinfo=dt.UTC)  # the 16th already in Singapore


def institution(code: str, **fields: object) -> Institution:
    return Institution.model_validate({"code": code, "name": code, "datasets": {"prices": {}}, **fields})


def zone(tmp_path: Path, *institutions: Institution) -> LandingZone:
    built = build_landing_zone(Settings(home=tmp_path), {i.code: i for i in institutions}, S3Options())
    return LandingZone(built.roots, {i.code: i for i in institutions}, dt.date(2025, 1, 1), clock=lambda: NOW)


def routes(landing: LandingZone, tmp_path: Path, key: str) -> Routed | Unrouted:
    path = tmp_path / "landing" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    (root,) = landing.roots
    return next(found for found in landing.listing(root) if found.info.key == key)


def test_a_key_is_routed_to_its_institution_dataset_and_date(tmp_path: Path) -> None:
    found = routes(zone(tmp_path, institution("first")), tmp_path, "first/prices/2025-01-15/a.csv")
    assert isinstance(found, Routed)
    assert (found.institution, found.dataset, found.business_date) == ("first", "prices", dt.date(2025, 1, 15))


def test_today_is_that_of_the_institutions_own_zone(tmp_path: Path) -> None:
    ahead = zone(tmp_path, institution("first", time_zone="Asia/Singapore"))
    assert isinstance(routes(ahead, tmp_path, "first/prices/2025-01-16/a.csv"), Routed)
    behind = zone(tmp_path, institution("first", time_zone="America/New_York"))
    found = routes(behind, tmp_path, "first/prices/2025-01-16/a.csv")
    assert isinstance(found, Unrouted)
    assert "2025-01-16" in found.reason
    assert "2025-01-15 (today in America/New_York)" in found.reason


def test_a_date_before_the_first_one_belongs_to_nobody_and_the_setting_is_named(tmp_path: Path) -> None:
    found = routes(zone(tmp_path, institution("first")), tmp_path, "first/prices/2024-12-31/a.csv")
    assert isinstance(found, Unrouted)
    assert "ETL_FIRST_DATE" in found.reason


def test_a_key_that_two_institutions_claim_belongs_to_nobody(tmp_path: Path) -> None:
    pattern = "drop/{date:%Y-%m-%d}/..."
    both = zone(tmp_path, institution("first", key_pattern=pattern), institution("second", key_pattern=pattern))
    found = routes(both, tmp_path, "drop/2025-01-15/a.csv")
    assert isinstance(found, Unrouted)
    assert "first prices, second prices" in found.reason


def test_a_folder_is_one_root_however_it_is_written(tmp_path: Path) -> None:
    first = institution("first", landing=str(tmp_path / "drop"))
    second = institution("second", landing=(tmp_path / "drop").as_uri())
    assert [root.institutions for root in zone(tmp_path, first, second).roots] == [("first", "second")]


def test_where_an_institution_delivers_is_refused_by_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root_of = landing_root_of(Settings(home=tmp_path))
    keyed = institution("first", landing="s3://bucket/in", credentials="ACME")
    with pytest.raises(ConfigurationError, match=r"field credentials: ACME_AWS_ACCESS_KEY_ID, .* not set"):
        root_of(keyed)
    monkeypatch.setenv("ACME_AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("ACME_AWS_SECRET_ACCESS_KEY", "hidden")
    assert root_of(keyed) == "s3://bucket/in"
    with pytest.raises(ConfigurationError, match="field landing: ") as failure:
        root_of(institution("second", landing="s3://key:hidden@bucket/in"))
    assert "hidden" not in str(failure.value)
    assert root_of(institution("third")) == (tmp_path / "landing").as_uri()


def test_a_platforms_own_root_that_is_refused_is_no_institutions_mistake() -> None:
    with pytest.raises(ConfigurationError, match="storage URL"):
        landing_root_of(Settings(landing="s3://not a bucket"))


def test_an_institution_with_a_root_of_its_own_is_listed_there_alone(tmp_path: Path) -> None:
    own = institution("second", landing=str(tmp_path / "own"))
    landing = zone(tmp_path, institution("first"), own)
    assert [root.institutions for root in landing.roots] == [("first",), ("second",)]
    assert landing.store_of("second").url.endswith("/own")


def test_the_name_of_a_root_is_its_institutions_own_or_the_shared_one(tmp_path: Path) -> None:
    own, shared = str(tmp_path / "own"), str(tmp_path / "both")
    landing = zone(
        tmp_path,
        institution("first"),
        institution("second", landing=own),
        institution("fourth", landing=shared),
        institution("third", landing=shared),
    )
    assert [(root.name, landing.names_of(root)) for root in landing.roots] == [
        ("landing", ("landing",)),
        ("second", ("second",)),
        ("fourth", ("fourth", "third")),
    ]
    for key in ("third/prices/2025-01-15/a.csv", "nobodys/a.csv"):
        path = tmp_path / "both" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    listed = [found.landing_object() for found in landing.listing(landing.roots[2])]
    assert [(found.key, found.root, found.also) for found in listed] == [
        ("nobodys/a.csv", "fourth", ("fourth", "third")),
        ("third/prices/2025-01-15/a.csv", "third", ("fourth", "third")),
    ]


def test_nobody_ignores_what_is_anothers(tmp_path: Path) -> None:
    landing = zone(tmp_path, institution("first", ignore=["*.md5"]), institution("second"))
    found = {
        key: routes(landing, tmp_path, key)
        for key in ("first/prices/2025-01-15/a.md5", "first/a.md5", "second/a.md5", "second/prices/2025-01-15/a.md5")
    }
    ignored = [key for key, one in found.items() if isinstance(one, Unrouted) and one.is_ignored]
    assert ignored == ["first/prices/2025-01-15/a.md5", "first/a.md5"]
    assert isinstance(found["second/prices/2025-01-15/a.md5"], Routed)


def test_a_key_of_a_broken_institution_is_held(tmp_path: Path) -> None:
    one = institution("first")
    built = zone(tmp_path, one)
    landing = LandingZone(
        built.roots, {"first": one}, dt.date(2025, 1, 1), lambda: NOW, is_held=lambda key: key.startswith("broken/")
    )
    found = routes(landing, tmp_path, "broken/prices/2025-01-15/a.csv")
    assert isinstance(found, Unrouted) and found.is_held and found.landing_object().is_held
    assert found.reason == HELD_REASON

"""One ring for every call: how often, how long, for whom, and what the last error says."""

from __future__ import annotations

import datetime as dt
import pickle
from collections.abc import Callable
from email.utils import format_datetime

import pytest

from etl_platform.errors import PermanentError, StorageUnavailableError, TransientError
from etl_platform.retries import Retries, asking, retry_after_seconds
from etl_platform_tests.support.quick import QUICK


def failing(*errors: Exception) -> tuple[Callable[[], str], list[int]]:
    """An action that raises these one after the other, then answers; and a list of its calls."""
    waiting, calls = list(errors), []

    def action() -> str:
        calls.append(1)
        if waiting:
            raise waiting.pop(0)
        return "answer"

    return action, calls


def away(**options: float) -> StorageUnavailableError:
    return StorageUnavailableError("object a", found="S3 answered 503", next_step="run again", **options)  # type: ignore[arg-type]


def test_an_error_that_remains_says_how_often_how_long_and_the_last_answer() -> None:
    action, calls = failing(*(away() for _ in range(4)), StorageUnavailableError("object a", found="last"), away())
    with pytest.raises(StorageUnavailableError) as caught:
        QUICK.call(action, service="lake")
    error = pickle.loads(pickle.dumps(caught.value))
    assert len(calls) == 5 and (error.tries, error.service) == (5, "lake") and error.seconds > 0
    assert (error.subject, error.found) == ("object a", "last")
    assert str(error).startswith("object a: gave up after 5 tries in 0.") and str(error).endswith(
        "s; last answer: last"
    )
    assert type(error) is StorageUnavailableError and vars(error) == vars(caught.value)


def test_seconds_are_spelled_for_people() -> None:
    assert "gave up after 5 tries in 31 s; last answer: S3 answered 503; next step" in str(away().given_up(5, 31.4))
    assert "gave up after 1 try in 0.031 s" in str(away().given_up(1, 0.0314))


def test_a_permanent_error_is_called_once_and_stays_as_it_is() -> None:
    action, calls = failing(PermanentError("object a", found="403"))
    with pytest.raises(PermanentError, match=r"^object a: 403$"):
        QUICK.call(action, service="lake")
    assert len(calls) == 1


def test_any_transient_error_is_tried_again() -> None:
    action, calls = failing(*(TransientError("a", found="b") for _ in range(4)))
    assert QUICK.call(action) == "answer" and len(calls) == 5


def test_rings_in_each_other_do_not_multiply() -> None:
    action, calls = failing(*(away() for _ in range(99)))
    with pytest.raises(StorageUnavailableError) as caught:
        QUICK.call(lambda: QUICK.call(action, service="lake"), service="warehouse")
    assert len(calls) == 5 and caught.value.service == "lake" and str(caught.value).count("gave up") == 1


def test_what_cannot_be_done_twice_is_done_once() -> None:
    action, calls = failing(away())
    with pytest.raises(StorageUnavailableError, match="gave up after 1 try"):
        QUICK.call(action, may_repeat=lambda _: False)
    assert len(calls) == 1


def test_a_service_is_left_alone_for_as_long_as_it_asks_but_never_longer_than_the_longest_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    action, _ = failing(away(retry_after=7.5), away(retry_after=3600), away(retry_after=0))
    Retries(first_wait_seconds=0.1).call(action)
    assert waits[:2] == [7.5, 30] and waits[2] <= 0.4


def test_the_ring_lasts_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    rounds = 400
    for _ in range(rounds):
        with pytest.raises(StorageUnavailableError):
            Retries().call(failing(*(away() for _ in range(5)))[0])
    totals = [sum(waits[n : n + 4]) for n in range(0, len(waits), 4)]
    assert len(totals) == rounds and max(totals) <= 65 and max(waits) <= 30
    assert 29 < sum(totals) / rounds < 36, "32.5 s in expectation"
    assert sum(total > 10 for total in totals) > 0.95 * rounds, "98.7 % outlast ten seconds"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("7", 7.0), (" 120 ", 120.0), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds
    later = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90), usegmt=True)
    assert 85 < (retry_after_seconds(later) or 0) <= 90


def test_a_block_names_its_service_unless_the_error_names_another() -> None:
    for named, expected in ((None, "warehouse"), ("lake", "lake")):
        with pytest.raises(TransientError) as caught, asking("warehouse"):
            raise TransientError("a", found="b", service=named)
        assert caught.value.service == expected

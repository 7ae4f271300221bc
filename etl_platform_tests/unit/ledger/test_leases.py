"""Of several who are about to start a run of a partition one does."""

from __future__ import annotations

import threading

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object
from etl_platform_tests.support.ledger_runs import begin
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

OTHER = Delivery("accounts", DATE, "institution_a")


def holders(ledger: Ledger) -> dict[Delivery, str]:
    return {lease.partition: lease.holder for lease in ledger.leases()}


def test_of_two_takers_one_gets_each_partition(ledger: Ledger) -> None:
    assert ledger.take_leases({PARTITION: "first"}, now=NOW) == [PARTITION]
    assert ledger.take_leases({PARTITION: "second", OTHER: "second"}, now=after(1)) == [OTHER]
    assert ledger.take_leases({PARTITION: "first"}, now=after(2)) == [], "not even who has it gets it twice"
    assert holders(ledger) == {PARTITION: "first", OTHER: "second"}
    assert ledger.take_leases({}, now=NOW) == []


def test_takers_at_the_same_moment_share_them_out(ledger: Ledger) -> None:
    wanted = [Delivery("prices", DATE, f"i_{number}") for number in range(20)]
    ledger.check()
    got: dict[str, list[Delivery]] = {}
    start = threading.Barrier(4)

    def take(name: str) -> None:
        start.wait()
        got[name] = [p for one in wanted for p in ledger.take_leases({one: name}, now=NOW)]

    threads = [threading.Thread(target=take, args=(f"taker {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p for found in got.values() for p in found) == sorted(wanted)
    assert holders(ledger) == {p: name for name, found in got.items() for p in found}


def test_what_holders_have_who_are_gone_is_free(ledger: Ledger) -> None:
    ledger.take_leases({PARTITION: "dead", OTHER: "alive"}, now=NOW)
    found = ledger.take_leases({PARTITION: "second", OTHER: "second"}, void={"dead", "nobody"}, now=after(1))
    assert found == [PARTITION]
    assert holders(ledger) == {PARTITION: "second", OTHER: "alive"}
    assert {lease.taken_at for lease in ledger.leases()} == {NOW, after(1)}


def test_a_lease_ends_when_an_attempt_begins_or_its_holder_says_so(ledger: Ledger) -> None:
    ledger.take_leases({PARTITION: "first", OTHER: "first"}, now=NOW)
    begin(ledger, landing_object("a.csv"))
    assert holders(ledger) == {OTHER: "first"}
    ledger.give_back_leases(["second"])
    assert holders(ledger) == {OTHER: "first"}
    ledger.give_back_leases(["first"])
    assert holders(ledger) == {}

"""Which filed domains a worker was asked for: once a day each, from either cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.filings import Filing, Override, OverrideKind, Status
from gate.policy import Decider
from gate.replica import Replica
from gate.worker import filed_seen
from gate.worker.filed_seen import FiledSeen

DAY = 739_000


@pytest.fixture(params=["python", "native"])
def decider(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Decider]:
    """A decider with room for two hosts, over a few filings."""
    native = request.param == "native"
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        filings = [Filing(f"{name}.cn", Status.FILED) for name in "abcdefgh"]
        filings.append(Filing("other.cn", Status.FILED_ELSEWHERE))
        replica.load(filings, epoch="e1", revision=1)
        made = Decider(replica, size=2, native=native)
        if native and made.ring is None:
            pytest.skip("nothing was compiled")
        yield made


def seen_by(decider: Decider) -> FiledSeen:
    seen = FiledSeen(decider.clear)
    decider.tell_seen(seen)
    return seen


def names(seen: FiledSeen, *, day: int = DAY, confirmed: int = 0) -> list[str]:
    return sorted(seen.take(day, confirmed)["names"])


def test_filed_domains_are_noted_and_nothing_else(decider: Decider) -> None:
    seen = seen_by(decider)
    for host in (b"www.a.cn", b"A.CN:80", b"b.cn", b"none.cn", b"other.cn", b"1.2.3.4", b"\x00"):
        decider.decide(host)
    assert names(seen) == ["a.cn", "b.cn"]


def test_a_name_without_room_in_the_cache_is_noted_too(decider: Decider) -> None:
    seen = seen_by(decider)
    for name in "abcdefgh":
        decider.decide(f"{name}.cn".encode())
    assert names(seen) == [f"{name}.cn" for name in "abcdefgh"]


def test_a_name_that_is_always_in_the_cache_is_told_each_day(decider: Decider) -> None:
    seen = seen_by(decider)
    number, told = 0, []
    for day in range(DAY, DAY + 4):
        seen.take(day, number)  # the day begins
        for _ in range(100):
            decider.decide(b"www.a.cn")
        answer = seen.take(day, number)
        number = answer["number"]
        told.append((answer["day"], answer["names"]))
    assert told == [(day, ["a.cn"]) for day in range(DAY, DAY + 4)]


def test_what_was_asked_for_before_midnight_is_of_the_day_before(decider: Decider) -> None:
    seen = seen_by(decider)
    seen.take(DAY, 0)
    decider.decide(b"a.cn")
    answer = seen.take(DAY + 1, 0)
    assert (answer["day"], answer["names"]) == (DAY, ["a.cn"])
    decider.decide(b"b.cn")
    answer = seen.take(DAY + 1, answer["number"])
    assert (answer["day"], answer["names"]) == (DAY + 1, ["b.cn"])


def test_an_answer_is_given_again_until_it_is_confirmed(decider: Decider) -> None:
    seen = seen_by(decider)
    decider.decide(b"a.cn")
    first = seen.take(DAY, 0)
    decider.decide(b"b.cn")
    assert seen.take(DAY, 0) == first
    second = seen.take(DAY, first["number"])
    assert second["names"] == ["b.cn"]
    assert [answer["names"] for answer in seen.rest()] == [["b.cn"]]


def test_more_names_than_there_is_room_for_are_told_to_be_missing(
    decider: Decider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filed_seen, "MOST_NAMES", 3)
    monkeypatch.setattr(filed_seen, "NAMES_IN_ANSWER", 2)
    seen = seen_by(decider)
    for name in "abcde":
        decider.decide(f"{name}.cn".encode())
    answers = seen.rest()
    assert sorted(name for one in answers for name in one["names"]) == ["a.cn", "b.cn", "c.cn"]
    assert any(one["lost"] for one in answers)
    assert [one["number"] for one in answers] == [1, 2]


def test_an_exempt_name_is_no_filing_with_traffic(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        replica.load([], epoch="e1", revision=1)
        replica.set_override(Override("new.cn", OverrideKind.EXEMPT, 2**40, "x", "ops", 0))
        decider = Decider(replica)
        seen = seen_by(decider)
        assert decider.decide(b"new.cn").allowed
    assert names(seen) == []

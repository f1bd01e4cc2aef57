"""What the registry is to be told of blocked names: each request once, within bounds."""

from __future__ import annotations

import json

import pytest

from gate.control.blocked.outbox import MOST_DESTINATIONS, MOST_NAMES, MOST_REQUESTS, Outbox
from gate.control.blocked.table import BlockedName
from gate.registry.unfiled import MAX_DESTINATIONS, MAX_NAMES, UnfiledName


def row(name: str, count: int = 1, *, at: float = 100.0, reason: str = "unfiled") -> BlockedName:
    return BlockedName(name, "http", reason, "", count, at, at)


def counts(outbox: Outbox) -> dict[str, int]:
    report = outbox.report()
    return {} if report is None else {item["name"]: item["count"] for item in report.names}


def test_requests_for_a_name_are_added_up_with_the_newest_reason() -> None:
    outbox = Outbox(10)
    outbox.add(row("a.cn", 2, at=100.9))
    outbox.add(row("a.cn", 3, at=50, reason="revoked"))
    outbox.add(row("a.cn", 1, at=200, reason="suspended"))
    report = outbox.report()
    assert report is not None
    assert report.names == (
        {"name": "a.cn", "reason": "suspended", "count": 6, "first_seen": 50, "last_seen": 200},
    )


def asked_at(address: str, count: int) -> BlockedName:
    return BlockedName("a.cn", "tls", "unfiled", "", count, 100.0, 100.0, 0.0, address)


def hosts(outbox: Outbox) -> list[tuple[str, int]]:
    report = outbox.report()
    assert report is not None
    UnfiledName.model_validate(report.names[0])
    return [(at["address"], at["count"]) for at in report.names[0]["destinations"]]


def test_a_report_tells_the_destinations_that_were_asked_most() -> None:
    assert MOST_DESTINATIONS == MAX_DESTINATIONS
    outbox = Outbox(10)
    outbox.add(row("a.cn", 7))  # by a listener that is the destination itself
    for number in range(20):
        outbox.add(asked_at(f"192.0.2.{number}:443", number + 1))
    outbox.add(asked_at("192.0.2.19:443", 5))
    expected = [("192.0.2.19:443", 25)] + [(f"192.0.2.{n}:443", n + 1) for n in range(18, 11, -1)]
    assert hosts(outbox) == expected
    # It outlives the control process, waiting and reported, and a report that is split.
    outbox.add(asked_at("[2001:db8::1]:443", 3))
    after = Outbox(10)
    after.restore(json.loads("".join(outbox.pieces())))
    assert hosts(after) == expected
    after.taken()
    assert hosts(after) == [("[2001:db8::1]:443", 3)]
    after.add(row("b.cn"))
    after.taken()
    after.add(asked_at("192.0.2.1:443", 9))
    after.add(row("b.cn"))
    assert after.report() is not None
    assert after.split()
    assert hosts(after) == [("192.0.2.1:443", 9)]


def test_a_destination_that_the_registry_would_refuse_is_not_told_with_its_name() -> None:
    outbox = Outbox(10)
    outbox.add(asked_at("192.0.2.1:0", 2))
    assert counts(outbox) == {"a.cn": 2}
    report = outbox.report()
    assert report is not None
    assert "destinations" not in report.names[0]


def test_no_report_tells_of_times_that_have_not_come() -> None:
    outbox = Outbox(10, clock=lambda: 300.0)
    outbox.add(row("a.cn", at=900))  # the clock was ahead, and has gone back
    outbox.add(row("b.cn", at=900))
    outbox.add(row("b.cn", at=300, reason="revoked"))
    report = outbox.report()
    assert report is not None
    assert [(item["name"], item["reason"]) for item in report.names] == [
        ("b.cn", "revoked"),
        ("a.cn", "unfiled"),
    ]
    assert {(item["first_seen"], item["last_seen"]) for item in report.names} == {(300, 300)}


def test_a_report_stays_the_same_until_it_is_taken() -> None:
    outbox = Outbox(10)
    outbox.add(row("a.cn", 2))
    first = outbox.report()
    outbox.add(row("a.cn", 5))
    outbox.add(row("b.cn", 1))
    assert outbox.report() is first
    assert len(outbox) == 3
    outbox.taken()
    assert counts(outbox) == {"a.cn": 5, "b.cn": 1}
    second = outbox.report()
    assert first is not None
    assert second is not None
    assert first.key != second.key
    outbox.taken()
    assert (outbox.report(), len(outbox)) == (None, 0)


def test_a_report_has_so_many_names_the_most_asked_for_first() -> None:
    outbox = Outbox(5_000)
    for number in range(MOST_NAMES + 1):
        outbox.add(row(f"n{number}.cn", number + 1))
    assert len(counts(outbox)) == MOST_NAMES
    outbox.taken()
    assert counts(outbox) == {"n0.cn": 1}


def test_more_names_than_there_is_room_for_are_counted_and_dropped() -> None:
    outbox = Outbox(2)
    for name in ("a.cn", "b.cn", "c.cn", "a.cn"):
        outbox.add(row(name, 4))
    assert counts(outbox) == {"a.cn": 8, "b.cn": 4}
    assert outbox.dropped == 4


def test_a_report_that_is_too_large_is_told_in_halves_and_nothing_of_it_twice() -> None:
    outbox = Outbox(5_000)
    for number in range(4):
        outbox.add(row(f"n{number}.cn", number + 1))
    first = outbox.report()
    outbox.add(row("n3.cn", 10, at=200, reason="revoked"))
    assert outbox.split()
    assert first is not None
    told: list[tuple[str, int]] = []
    sizes = []
    while (report := outbox.report()) is not None:
        assert report.key != first.key
        sizes.append(len(report.names))
        told += ((item["name"], item["count"]) for item in report.names)
        outbox.taken()
    assert sizes == [2, 2]
    assert sorted(told) == [("n0.cn", 1), ("n1.cn", 2), ("n2.cn", 3), ("n3.cn", 14)]


def test_a_report_of_one_name_or_none_cannot_be_split() -> None:
    outbox = Outbox(10)
    assert not outbox.split()
    outbox.add(row("a.cn"))
    report = outbox.report()
    assert not outbox.split()
    assert outbox.report() is report


def test_a_report_that_is_refused_makes_way_for_the_next_and_is_counted() -> None:
    outbox = Outbox(10)
    outbox.add(row("a.cn", 3))
    outbox.add(row("b.cn", 4))
    outbox.report()
    outbox.add(row("c.cn", 5))
    assert outbox.refused() == 7
    assert outbox.dropped == 7
    assert counts(outbox) == {"c.cn": 5}
    outbox.taken()
    assert (outbox.refused(), outbox.dropped) == (0, 7)


def test_more_requests_than_a_report_may_have_of_a_name_are_told_in_the_next() -> None:
    outbox = Outbox(10)
    outbox.add(row("a.cn", MOST_REQUESTS + 5))
    assert counts(outbox) == {"a.cn": MOST_REQUESTS}
    UnfiledName.model_validate(outbox.report().names[0])  # type: ignore[union-attr]
    outbox.taken()
    assert counts(outbox) == {"a.cn": 5}


def test_a_report_has_no_more_names_than_the_registry_takes() -> None:
    assert MOST_NAMES <= MAX_NAMES


def test_what_is_no_domain_is_nobodys_to_file() -> None:
    outbox = Outbox(10)
    for reason in ("ip_host", "no_sni", "malformed"):
        outbox.add(row("192.0.2.1", reason=reason))
    assert outbox.report() is None


def again(outbox: Outbox, most: int = 10) -> Outbox:
    """The outbox of the next control process."""
    after = Outbox(most)
    after.restore(json.loads("".join(outbox.pieces())))
    return after


def test_the_next_control_process_tells_what_waits_and_the_same_report_again() -> None:
    outbox = Outbox(10)
    outbox.add(row("a.cn", 2, at=100.5))
    first = outbox.report()
    outbox.add(row("a.cn", 5, reason="revoked"))
    outbox.add(row("b.cn", 1))
    after = again(outbox)
    assert len(after) == 3
    assert after.report() == first
    after.taken()
    outbox.taken()
    assert counts(after) == {"a.cn": 5, "b.cn": 1}
    assert after.report().names == outbox.report().names  # type: ignore[union-attr]
    after.taken()
    assert (again(after).report(), len(again(after))) == (None, 0)


def test_what_is_kept_is_of_the_moment_at_which_it_was_asked_for() -> None:
    outbox = Outbox(10)
    outbox.add(row("a.cn", 2))
    first = outbox.report()
    outbox.add(row("b.cn", 1))
    pieces = outbox.pieces()
    outbox.taken()
    outbox.add(row("b.cn", 5))
    outbox.report()
    after = Outbox(10)
    after.restore(json.loads("".join(pieces)))
    assert after.report() == first
    after.taken()
    assert counts(after) == {"b.cn": 1}


@pytest.mark.parametrize(
    "state",
    [
        [],
        {},
        {"report": None},
        {"report": {"key": "k"}, "waiting": []},
        {"report": None, "waiting": [["a.cn"]]},
        {"report": 7, "waiting": []},
    ],
)
def test_a_state_that_is_damaged_is_told_of_and_left(
    state: object, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(10)
    outbox.restore(state)
    assert len(outbox) == 0
    assert "what was still to be reported is lost" in caplog.text


def test_without_a_state_there_is_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(10)
    outbox.restore(None)
    assert (len(outbox), caplog.text) == (0, "")


def test_of_more_names_than_there_is_room_for_now_so_many_are_kept() -> None:
    outbox = Outbox(10)
    for name in ("a.cn", "b.cn", "c.cn"):
        outbox.add(row(name))
    assert len(again(outbox, most=2)) == 2

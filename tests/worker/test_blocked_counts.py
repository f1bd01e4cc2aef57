"""A worker's blocked names: told once, bounded, and none lost with an answer."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gate.policy import Reason, Verdict
from gate.worker.blocked_counts import ROWS_HELD, ROWS_IN_ANSWER, BlockedCounts


def blocked(name: str, reason: Reason = Reason.UNFILED) -> Verdict:
    return Verdict(False, reason, reason.code, name)


def pending() -> BlockedCounts:
    return BlockedCounts(lambda name: f"route of {name}")


def test_a_row_says_name_listener_reason_route_count_and_times() -> None:
    rows = pending()
    verdict = blocked("a.cn", Reason.REVOKED)
    assert rows.add("tls", {verdict: 3}, 10.0) == 3
    assert rows.add("tls", {verdict: 2}, 12.0) == 2
    answer = rows.take(0, 0)
    assert answer["rows"] == [["a.cn", "tls", "revoked", "route of a.cn", 5, 10.0, 12.0]]
    assert answer["unlisted"] == 0


def test_a_row_was_first_asked_for_no_later_than_last_though_the_clock_went_back() -> None:
    rows = pending()
    rows.add("tls", {blocked("a.cn"): 1}, 99.0)
    rows.add("tls", {blocked("a.cn"): 1}, 12.0)
    rows.add("tls", {blocked("a.cn"): 1}, 13.0)
    assert rows.take(0, 0)["rows"][0][5:] == [12.0, 13.0]


def test_verdicts_on_one_name_share_a_row_and_listeners_and_reasons_do_not() -> None:
    rows = pending()
    rows.add("tls", {blocked("a.cn"): 1, blocked("a.cn"): 2}, 1.0)
    rows.add("http", {blocked("a.cn"): 4, blocked("a.cn", Reason.SUSPENDED): 8}, 1.0)
    assert sorted(row[4] for row in rows.take(0, 0)["rows"]) == [3, 4, 8]


def test_a_verdict_without_a_name_is_counted_and_has_no_row() -> None:
    rows = pending()
    assert rows.add("tls", {blocked("", Reason.NO_SNI): 7}, 1.0) == 7
    assert rows.take(0, 0)["rows"] == []


def test_an_answer_is_given_again_until_it_is_confirmed() -> None:
    rows = pending()
    rows.add("tls", {blocked("a.cn"): 1}, 1.0)
    first = rows.take(0, 0)
    rows.add("tls", {blocked("b.cn"): 1}, 2.0)
    assert rows.take(0, 0) == first
    assert [row[0] for row in rows.take(first["number"], 0)["rows"]] == ["b.cn"]


def test_answers_that_were_not_kept_come_again_in_their_order_after_a_kill() -> None:
    rows = pending()
    given = []
    for number, name in enumerate(("a.cn", "b.cn", "c.cn")):
        rows.add("tls", {blocked(name): 1}, 1.0)
        given.append(rows.take(number, 0))
    assert rows.take(3, 1)["rows"] == []
    again = [rows.take(1, 1)]
    again.append(rows.take(again[0]["number"], 1))
    assert again == given[1:]
    rows.take(3, 3)
    assert rows.take(1, 1)["rows"] == []


def test_an_answer_that_tells_nothing_is_not_numbered_and_not_held() -> None:
    rows = pending()
    rows.add("tls", {blocked("a.cn"): 1}, 1.0)
    rows.take(0, 0)
    assert [rows.take(1, 0)["number"] for _ in range(5)] == [1] * 5
    assert len(rows.rest()) == 2


def test_what_is_held_is_bounded_and_the_newest_stay() -> None:
    rows = pending()
    confirmed = 0
    for number in range(2 * ROWS_HELD):
        rows.add("tls", {blocked(f"n{number}.cn"): 1}, 1.0)
        confirmed = rows.take(confirmed, 0)["number"]
    *held, rest = rows.rest()
    assert ROWS_HELD / 2 <= len(held) <= ROWS_HELD
    assert [answer["number"] for answer in held] == list(
        range(confirmed - len(held) + 1, confirmed + 1)
    )
    assert rest["rows"] == []


def test_the_rest_holds_what_was_not_kept_and_what_was_not_asked_for() -> None:
    rows = pending()
    rows.add("tls", {blocked("a.cn"): 1}, 1.0)
    first = rows.take(0, 0)
    rows.add("tls", {blocked("b.cn"): 1}, 2.0)
    assert [[row[0] for row in part["rows"]] for part in rows.rest()] == [["a.cn"], ["b.cn"]]
    assert rows.rest()[0] == first


def test_a_flood_of_random_names_is_bounded_and_does_not_push_out_a_name_asked_for_twice() -> None:
    rows = pending()
    for number in range(20_000):
        rows.add("tls", {blocked(f"r{number}.cn"): 1}, 1.0)
    assert len(rows) < 5_000
    rows.add("tls", {blocked("shop.cn"): 1}, 2.0)
    rows.add("tls", {blocked("shop.cn"): 1}, 3.0)
    told: Counter[str] = Counter()
    unlisted = 0
    confirmed = 0
    for _ in range(20):
        answer = rows.take(confirmed, confirmed)
        confirmed = answer["number"]
        assert len(answer["rows"]) <= ROWS_IN_ANSWER
        told.update({row[0]: row[4] for row in answer["rows"]})
        unlisted += answer["unlisted"]
    assert told["shop.cn"] >= 1
    assert told.total() + unlisted == 20_002


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 5)),
            st.sampled_from(["asks", "answer is lost", "keeps", "is killed"]),
        ),
        max_size=60,
    )
)
def test_with_room_for_all_each_count_is_told_once_whenever_the_control_process_dies(
    steps: list[tuple[str, int] | str],
) -> None:
    rows = pending()
    asked: Counter[str] = Counter()
    told: Counter[str] = Counter()
    heard = 0
    disk = 0, Counter[str]()

    def hear(answer: dict[str, Any]) -> None:
        nonlocal heard
        if answer["number"] > heard:
            heard = answer["number"]
            told.update({row[0]: row[4] for row in answer["rows"]})

    for step in steps:
        match step:
            case name, count:
                rows.add("tls", {blocked(f"{name}.cn"): count}, 1.0)
                asked[f"{name}.cn"] += count
            case "asks":
                hear(rows.take(heard, disk[0]))
            case "answer is lost":
                rows.take(heard, disk[0])
            case "keeps":
                disk = heard, Counter(told)
            case "is killed":
                heard, told = disk[0], Counter(disk[1])
    for part in rows.rest():
        hear(part)
    assert told == asked

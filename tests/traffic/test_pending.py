"""A worker's blocked names: told once, bounded, and none lost with an answer."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gate.policy import Reason, Verdict
from gate.traffic.pending import ROWS_IN_ANSWER, Pending


def blocked(name: str, reason: Reason = Reason.UNFILED) -> Verdict:
    return Verdict(False, reason, reason.code, name)


def pending() -> Pending:
    return Pending(lambda name: f"route of {name}")


def test_a_row_says_name_listener_reason_route_count_and_times() -> None:
    rows = pending()
    verdict = blocked("a.cn", Reason.REVOKED)
    assert rows.add("tls", {verdict: 3}, 10.0) == 3
    assert rows.add("tls", {verdict: 2}, 12.0) == 2
    answer = rows.take(0)
    assert answer["rows"] == [["a.cn", "tls", "revoked", "route of a.cn", 5, 10.0, 12.0]]
    assert answer["unlisted"] == 0


def test_verdicts_on_one_name_share_a_row_and_listeners_and_reasons_do_not() -> None:
    rows = pending()
    rows.add("tls", {blocked("a.cn"): 1, blocked("a.cn"): 2}, 1.0)
    rows.add("http", {blocked("a.cn"): 4, blocked("a.cn", Reason.SUSPENDED): 8}, 1.0)
    assert sorted(row[4] for row in rows.take(0)["rows"]) == [3, 4, 8]


def test_a_verdict_without_a_name_is_counted_and_has_no_row() -> None:
    rows = pending()
    assert rows.add("tls", {blocked("", Reason.NO_SNI): 7}, 1.0) == 7
    assert rows.take(0)["rows"] == []


def test_an_answer_is_given_again_until_it_is_confirmed() -> None:
    rows = pending()
    rows.add("tls", {blocked("a.cn"): 1}, 1.0)
    first = rows.take(0)
    rows.add("tls", {blocked("b.cn"): 1}, 2.0)
    assert rows.take(0) == first
    assert [row[0] for row in rows.take(first["number"])["rows"]] == ["b.cn"]


def test_the_rest_holds_what_was_not_confirmed_and_what_was_not_asked_for() -> None:
    rows = pending()
    rows.add("tls", {blocked("a.cn"): 1}, 1.0)
    first = rows.take(0)
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
        answer = rows.take(confirmed)
        confirmed = answer["number"]
        assert len(answer["rows"]) <= ROWS_IN_ANSWER
        told.update({row[0]: row[4] for row in answer["rows"]})
        unlisted += answer["unlisted"]
    assert told["shop.cn"] >= 1
    assert told.total() + unlisted == 20_002


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 5), st.booleans(), st.booleans()),
        max_size=60,
    )
)
def test_with_room_for_all_each_count_is_told_once(
    steps: list[tuple[str, int, bool, bool]],
) -> None:
    rows = pending()
    asked: Counter[str] = Counter()
    told: Counter[str] = Counter()
    heard = 0

    def hear(answer: dict[str, Any]) -> None:
        nonlocal heard
        if answer["number"] != heard:
            heard = answer["number"]
            told.update({row[0]: row[4] for row in answer["rows"]})

    for name, count, asks, arrives in steps:
        rows.add("tls", {blocked(f"{name}.cn"): count}, 1.0)
        asked[f"{name}.cn"] += count
        if asks:
            answer = rows.take(heard)
            if arrives:
                hear(answer)
    for part in rows.rest():
        hear(part)
    assert told == asked

"""Counters of all workers, summed so that none ever goes back."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gate.control.metrics.tally import GONE_ADDRESSES, Tally, flatten

HERE = (os.getpid(), 1)


def ended_process() -> int:
    """The id of a process that has ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def new_tally() -> Tally:
    return Tally(lambda path: path[0] == "requests")


def test_flatten_gives_each_number_with_its_path() -> None:
    assert dict(flatten({"open": 3, "ends": {"closed": 1, "reset": 2}})) == {
        ("open",): 3,
        ("ends", "closed"): 1,
        ("ends", "reset"): 2,
    }


def test_figures_of_living_workers_are_summed() -> None:
    tally = new_tally()
    tally.update((1, 1), {"requests": {"http": 5}, "open": 2})
    tally.update((2, 1), {"requests": {"http": 7}, "open": 1})
    assert tally.totals() == {("requests", "http"): 12, ("open",): 3}


def test_a_dead_workers_counters_stay_and_its_gauges_go() -> None:
    tally = new_tally()
    dead = (ended_process(), 1)
    tally.update(dead, {"requests": {"http": 5}, "open": 2})
    tally.leave(dead)
    tally.update(HERE, {"requests": {"http": 1}, "open": 1})
    assert tally.totals() == {("requests", "http"): 6, ("open",): 1}


def test_addresses_that_reload_after_reload_brought_and_took_away_are_bounded() -> None:
    tally = Tally(lambda path: path[0] != "open", frozenset(["connects"]))
    tally.update(HERE, {"connects": {"stays": 1}})
    for number in range(3):
        dead = (ended_process(), number)
        addresses = {f"{number}.{n}": 1 for n in range(GONE_ADDRESSES)} | {"stays": 1}
        tally.update(dead, {"connects": addresses, "requests": {"http": 1}})
        tally.leave(dead)
    totals = tally.totals()
    assert totals[("connects", "stays")] == 4
    assert totals[("requests", "http")] == 3
    kept = [path[1] for path in totals if path[0] == "connects" and path[1] != "stays"]
    assert kept == [f"2.{n}" for n in range(GONE_ADDRESSES)]


def test_a_worker_that_only_lost_its_link_is_not_counted_twice() -> None:
    tally = new_tally()
    tally.update(HERE, {"requests": {"http": 5}})
    tally.leave(HERE)
    assert tally.totals() == {("requests", "http"): 5}
    tally.update(HERE, {"requests": {"http": 6}})
    assert tally.totals() == {("requests", "http"): 6}


def test_last_words_that_are_read_late_are_not_counted_twice(tmp_path: Path) -> None:
    """An ended worker's link to the next control process may be read after another's end."""
    before = new_tally()
    dead = (ended_process(), 1)
    before.update(dead, {"requests": {"http": 13}, "open": 1})
    before.save(tmp_path / "counters.json", gate=1)
    tally = new_tally()
    tally.restore(tmp_path / "counters.json", gate=1)
    other = (ended_process(), 2)
    tally.update(other, {"requests": {"http": 1}})
    tally.leave(other)
    assert tally.totals() == {("requests", "http"): 14}
    tally.update(dead, {"requests": {"http": 15}, "open": 1})
    tally.leave(dead)
    assert tally.totals() == {("requests", "http"): 16}


def test_leaving_without_figures_changes_nothing() -> None:
    tally = new_tally()
    tally.leave(HERE)
    assert tally.totals() == {}


def test_counters_survive_the_control_process(tmp_path: Path) -> None:
    kept = tmp_path / "counters.json"
    tally = new_tally()
    dead = (ended_process(), 1)
    tally.update(dead, {"requests": {"http": 5}})
    tally.leave(dead)
    tally.update(HERE, {"requests": {"http": 2}, "open": 1})
    tally.save(kept, gate=7)

    later = new_tally()
    later.restore(kept, gate=7)
    assert later.totals() == {("requests", "http"): 7}
    later.update(HERE, {"requests": {"http": 3}, "open": 1})
    assert later.totals() == {("requests", "http"): 8, ("open",): 1}


def test_counters_of_another_gate_are_not_taken_up(tmp_path: Path) -> None:
    kept = tmp_path / "counters.json"
    tally = new_tally()
    tally.update(HERE, {"requests": {"http": 5}})
    tally.save(kept, gate=7)
    later = new_tally()
    later.restore(kept, gate=8)
    later.restore(tmp_path / "none.json", gate=7)
    (tmp_path / "torn.json").write_text('{"gate": 7, "proc')
    later.restore(tmp_path / "torn.json", gate=7)
    assert later.totals() == {}


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["count", "lose link", "die"])), max_size=40
    )
)
def test_no_history_of_workers_makes_a_counter_go_back(history: list[tuple[int, str]]) -> None:
    tally = new_tally()
    born = [1, 1, 1, 1]
    counts = [0, 0, 0, 0]
    highest = 0.0
    for worker, event in history:
        who = (10_000_000 + worker, born[worker])  # above any process id: never alive
        if event == "count":
            counts[worker] += 1
            tally.update(who, {"requests": {"http": counts[worker]}})
        else:
            tally.leave(who)
            born[worker] += 1
            counts[worker] = 0
        total = tally.totals().get(("requests", "http"), 0)
        assert total >= highest
        highest = total

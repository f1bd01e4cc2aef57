"""The phases of a gate: the legal moves, every one of them and no other."""

from __future__ import annotations

import pytest

from gate.supervisor.phase import CHANGING, MOVES, STOPPING, Course, GatePhase, IllegalMove

LEGAL = [
    (source, target) for source in GatePhase for target in GatePhase if target in MOVES[source]
]
ILLEGAL = [
    (source, target) for source in GatePhase for target in GatePhase if target not in MOVES[source]
]


def course_in(phase: GatePhase) -> Course:
    """A course that has come to a phase by legal moves."""
    ways: dict[GatePhase, list[GatePhase]] = {GatePhase.STARTING: []}
    while phase not in ways:
        for source, way in list(ways.items()):
            for target in MOVES[source]:
                ways.setdefault(target, [*way, target])
    course = Course()
    for step in ways[phase]:
        course.move(step)
    return course


def name_of(phase: GatePhase) -> str:
    return phase.name


@pytest.mark.parametrize(("source", "target"), LEGAL, ids=name_of)
def test_a_legal_move_is_made(source: GatePhase, target: GatePhase) -> None:
    course = course_in(source)
    course.move(target)
    assert course.phase is target


@pytest.mark.parametrize(("source", "target"), ILLEGAL, ids=name_of)
def test_any_other_move_is_a_fault(source: GatePhase, target: GatePhase) -> None:
    course = course_in(source)
    with pytest.raises(IllegalMove, match=f"from {source.name} to {target.name}"):
        course.move(target)
    assert course.phase is source


def test_every_phase_can_be_reached_and_left_but_the_last() -> None:
    assert {phase for phase in GatePhase if not MOVES[phase]} == {GatePhase.ENDED}
    assert set(MOVES) == set(GatePhase)
    for phase in GatePhase:
        assert course_in(phase).phase is phase


@pytest.mark.parametrize(
    "phase", [phase for phase in GatePhase if phase not in STOPPING], ids=name_of
)
def test_a_stop_can_come_at_any_time(phase: GatePhase) -> None:
    assert GatePhase.LEAVING in MOVES[phase]


def test_no_way_leads_out_of_a_stop() -> None:
    for phase in STOPPING:
        assert MOVES[phase] <= STOPPING
    assert not STOPPING & CHANGING

"""In force on N of M: what gates tell, how far each is behind, waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from gate.changes.position import GatePosition
from gate.registry.commands import Role
from gate.registry.distribution.positions import Positions, Told
from gate.registry.distribution.pusher import GateStatus
from gate.registry.gate_schema import gate_positions
from gate.registry.gates import GONE_SECONDS, in_force, standings
from gate.registry.registry import Registry
from tests.registry.conftest import Api, Clock
from tests.registry.filings import file_first


def told(epoch: str, revision: int) -> dict[str, object]:
    """A gate's word."""
    return {"epoch": epoch, "revision": revision, "channel": "nats"}


def test_a_gate_stands_where_it_said_last(registry: Registry, clock: Clock) -> None:
    epoch = registry.head().epoch
    began = int(clock.now)
    for revision in (0, 3, 3, 5):
        registry.take_positions({"edge-1": GatePosition(epoch=epoch, revision=revision)})
        clock.now += 10
    registry.take_positions({"edge-2": GatePosition(epoch="old", revision=9)})
    with registry.database.read() as connection:
        found = standings(connection, epoch=epoch, revision=7)
    assert [(g.gate, g.revision, g.lag, g.since - began) for g in found] == [
        ("edge-1", 5, 2, 30),
        ("edge-2", 9, None, 40),
    ]


def where(registry: Registry, revision: int) -> tuple[list[tuple[str, int]], int]:
    """Where a revision is in force, since when; and how many gates are known."""
    with registry.database.read() as connection:
        there, known = in_force(connection, revision, registry.head().epoch)
    return [(gate.gate, gate.since) for gate in there], known


def tell(registry: Registry, gate: str, revision: int, channel: str = "pull", **more: Any) -> None:
    """A gate's word on what it enforces."""
    told = {"epoch": registry.head().epoch, "revision": revision, "channel": channel}
    registry.take_positions({gate: GatePosition.model_validate(told)}, **more)


def test_a_gate_that_is_gone_is_neither_among_those_in_force_nor_among_those_known(
    registry: Registry, clock: Clock
) -> None:
    tell(registry, "gone", 5)
    clock.now += GONE_SECONDS + 1
    tell(registry, "edge-1", 5)
    assert where(registry, 5) == ([("edge-1", int(clock.now))], 1)


def test_a_clock_that_was_ahead_makes_no_gate_the_only_one_known(
    registry: Registry, clock: Clock
) -> None:
    told = GatePosition(epoch=registry.head().epoch, revision=0, channel="pull")
    clock.now += 400 * 86_400
    registry.take_positions({"gone": told})
    clock.now -= 400 * 86_400
    registry.take_positions({"here": told})
    registry.tidy(keep=1_000)
    with registry.database.read() as connection:
        there, known = in_force(connection, 0, told.epoch)
    assert ([gate.gate for gate in there], known) == (["gone", "here"], 2)


def test_a_gate_that_falls_back_enforces_no_more_what_it_did(
    registry: Registry, clock: Clock
) -> None:
    for revision in (5, 9):
        tell(registry, "edge-1", revision)
        clock.now += 100
    tell(registry, "edge-1", 3)  # its disk was lost
    assert where(registry, 3) == ([("edge-1", int(clock.now))], 1)
    assert where(registry, 5) == ([], 1)
    clock.now += 100
    tell(registry, "edge-1", 9)
    assert where(registry, 5) == ([("edge-1", int(clock.now))], 1)


def test_since_when_is_known_to_the_minute_and_never_too_early_however_often_gates_tell(
    registry: Registry, clock: Clock
) -> None:
    began = int(clock.now)
    for revision in range(300):
        tell(registry, "edge-1", revision)
        clock.now += 1
    clock.now += 1_000
    tell(registry, "edge-1", 300)
    for revision in range(300):
        ((_, since),), _ = where(registry, revision)
        assert began + revision <= since < began + revision + 61
    with registry.database.read() as connection:
        rows = connection.execute(select(func.count()).select_from(gate_positions)).scalar_one()
    assert rows <= 7


@pytest.mark.parametrize("first", ["its own name is new", "its own name is known"])
def test_a_pushed_gate_that_tells_its_own_name_counts_once(
    registry: Registry, clock: Clock, first: str
) -> None:
    tell(registry, "target-1", 5, "push")
    began = int(clock.now)
    clock.now += 100
    if first == "its own name is known":
        tell(registry, "edge-1", 5)
        began = int(clock.now)
    tell(registry, "edge-1", 5, "push", renamed={"target-1": "edge-1"})
    assert where(registry, 5) == ([("edge-1", began)], 1)


def test_a_gate_that_pulls_under_the_name_of_another_s_push_target_stays(
    registry: Registry,
) -> None:
    tell(registry, "target-1", 5, "pull")
    tell(registry, "edge-1", 5, "push", renamed={"target-1": "edge-1"})
    assert where(registry, 5)[1] == 2


def test_an_old_name_is_given_up_as_soon_as_a_push_is_answered_with_the_gates_own() -> None:
    """Once, and not where another gate calls itself so."""
    gates = [
        GateStatus("target-1", "", revision=5, acknowledged_at=1, calls_itself=None),
        GateStatus("target-2", "", revision=5, acknowledged_at=1, calls_itself="target-3"),
        GateStatus("target-3", "", revision=5, acknowledged_at=1, calls_itself="edge-3"),
    ]
    written: list[tuple[set[str], dict[str, str]]] = []

    async def write(told: Told, renamed: Mapping[str, str]) -> None:
        written.append((set(told), dict(renamed)))

    async def look() -> None:
        positions = Positions(write, lambda: gates, lambda: "e")
        running = asyncio.create_task(positions.run())
        for _ in range(3):
            await positions.news.wait()
            gates[0].calls_itself = "edge-1"
            gates[0].acknowledged_at += 1
        running.cancel()

    asyncio.run(look())
    assert written[:3] == [
        ({"target-1", "target-3", "edge-3"}, {"target-2": "target-3"}),
        ({"edge-1"}, {"target-1": "edge-1"}),
        ({"edge-1"}, {}),
    ]


async def test_gates_tell_and_are_listed(lite_api: Api) -> None:
    epoch = lite_api.service.feed.head.epoch
    path = "/v1/gates/edge-1/position"
    answer = await lite_api.call("POST", path, role=Role.READER, json=told(epoch, 0))
    assert answer.status == 204
    pull = {"Gate-Name": "edge-2", "Gate-Enforced": f"{epoch} 0"}
    answer = await lite_api.call("GET", "/v1/changes?since=0", role=Role.READER, headers=pull)
    assert answer.status == 200
    async with asyncio.timeout(30):
        while True:
            listed = (await lite_api.call("GET", "/v1/gates", role=Role.READER)).json()
            if len(listed["gates"]) == 2:
                break
            await lite_api.service.positions.news.wait()
    assert [(g["gate"], g["channel"], g["lag"]) for g in listed["gates"]] == [
        ("edge-1", "nats", 0),
        ("edge-2", "pull", 0),
    ]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Gate-Name": "edge"}, 200),
        ({"Gate-Name": "edge", "Gate-Enforced": "nonsense"}, 422),
        ({"Gate-Name": "ed ge", "Gate-Enforced": "x 1"}, 422),
        ({"Gate-Name": "edge", "Gate-Enforced": "x 99999999999999999999"}, 422),
    ],
)
async def test_what_a_pull_tells_is_read_strictly(
    lite_api: Api, headers: dict[str, str], status: int
) -> None:
    answer = await lite_api.call("GET", "/v1/changes?since=0", headers=headers)
    assert answer.status == status


async def test_waiting_for_a_revision_ends_when_the_gates_have_it(
    lite_api: Api, tmp_path: Path
) -> None:
    service = lite_api.service
    epoch = service.feed.head.epoch
    for gate in ("edge-1", "edge-2"):
        service.registry.take_positions({gate: GatePosition(epoch=epoch, revision=0)})
    await service.write(lambda: file_first(service.registry, "a.cn"))
    short = (await lite_api.call("GET", "/v1/in-force?revision=1")).json()
    assert (short["gates"], short["known"], short["complete"]) == ([], 2, False)
    waiting = asyncio.create_task(
        lite_api.call("GET", "/v1/in-force?revision=1&wait=60", role=Role.READER)
    )
    for gate in ("edge-1", "edge-2"):
        path = f"/v1/gates/{gate}/position"
        await lite_api.call("POST", path, role=Role.READER, json=told(epoch, 1))
    found = (await waiting).json()
    assert [gate["gate"] for gate in found["gates"]] == ["edge-1", "edge-2"]
    assert found["complete"]
    one = (await lite_api.call("GET", "/v1/in-force?revision=1&gates=3&wait=0.1")).json()
    assert not one["complete"]

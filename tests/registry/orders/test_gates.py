"""In force on N of M: what gates tell, how far each is behind, waiting for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gate.changes.position import GatePosition
from gate.registry.commands import Role
from gate.registry.gates import standings
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

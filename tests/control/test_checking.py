"""/v1/check tells what the data plane does with a host, on each kind of listener in each mode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from gate.control.api.access import Caller
from gate.control.api.checking import CheckQuery, check
from gate.control.api.endpoint import AdminCall
from gate.replica import Replica
from gate.settings import Mode
from tests.control.test_service import operator_of
from tests.control.test_workers import fleet_at


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        yield replica


@pytest.mark.parametrize(
    ("mode", "host", "passes"),
    [
        (Mode.ENFORCE, "unfiled.cn", {"http": False, "tls": False}),
        (Mode.MONITOR, "unfiled.cn", {"http": True, "tls": True}),
        (Mode.ENFORCE, "a..cn", {"http": False, "tls": False}),
        (Mode.MONITOR, "a..cn", {"http": False, "tls": True}),
    ],
)
async def test_a_host_passes_where_the_data_plane_lets_it(
    tmp_path: Path, replica: Replica, mode: Mode, host: str, passes: dict[str, bool]
) -> None:
    async with fleet_at(tmp_path / "control.sock", workers=2) as workers:
        operator = operator_of(workers, replica, tmp_path)
        operator.runtime.modes = dict.fromkeys(passes, mode)
        call = AdminCall(
            make_mocked_request("GET", "/"),
            operator,
            Caller("anybody", ""),
            CheckQuery(host=host),
            None,
        )
        found = await check(call)
    assert {item.listener: item.passes for item in found.listeners} == passes
    assert found.route == "default"

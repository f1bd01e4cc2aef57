"""From an owner's draft to a name that passes at a real gate, on every channel that it follows."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.registry.client import Remote
from gate.registry.commands import EndOverride, ExemptDomain, SuspendDomain
from gate.registry.database import Database
from gate.registry.orders.commands import (
    ApproveOrder,
    NewOrder,
    PassOrder,
    ReportPerson,
    SubmitOrder,
)
from gate.registry.orders.kinds import Purpose
from gate.registry.orders.views import OrderView
from gate.registry.registry import LOCAL, Registry
from tests.harness.following import (
    figure,
    follow,
    make_gate,
    passes,
    push_section,
    verdicts,
)
from tests.harness.gate_process import Gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.nats_server import nats_server
from tests.harness.operating import ask, token_of
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import wait_for
from tests.registry.orders.steps import change, filing

pytestmark = pytest.mark.programs


@contextlib.contextmanager
def followed(folder: Path, channel: str) -> Iterator[tuple[RegistryProcess, dict[str, Any]]]:
    """A registry that runs, and how a gate follows it on a channel."""
    with contextlib.ExitStack() as stack:
        mine: dict[str, Any] = {}
        sync: dict[str, Any] = {"gate": "edge-1"}
        if channel == "nats":
            server = stack.enter_context(nats_server(folder / "nats"))
            mine = {"nats": {"servers": [server.url]}}
            sync |= {"pull": False, "nats": {"servers": [server.url]}, "stale_seconds": 600}
        if channel == "push":
            listen = push_section()
            mine = {"push": [{"name": "edge-1", "url": f"http://{listen['listen']}"}]}
            sync |= {"pull": False, "push": listen, "stale_seconds": 600}
        registry = RegistryProcess(folder / "registry", mine)
        stack.callback(registry.kill)
        registry.start()
        yield registry, follow(registry, **sync)


@pytest.mark.parametrize("channel", ["pull", "push", "nats"])
def test_dnspod_cn_from_draft_to_passing_and_back(tmp_path: Path, channel: str) -> None:
    with followed(tmp_path, channel) as (registry, sync):
        origin = HttpOrigin()
        to_origin = {"default": {"http": [origin.address]}}
        telling = {"enabled": True, "seconds": 1}
        gate = make_gate(
            tmp_path / "gate", sync, workers=1, upstreams=to_origin, traffic_report=telling
        )
        remote = registry.remote
        try:
            gate.start()
            number = remote.step(NewOrder(account="a1", entry=filing("dnspod.cn"))).id
            remote.step(SubmitOrder(order=number))
            remote.step(PassOrder(order=number))
            remote.step(ReportPerson(order=number, person=1, verified=True))
            assert not passes(gate, "dnspod.cn")
            licences = ("鲁ICP备09090609号-2",)
            found = remote.step(ApproveOrder(order=number, licences=licences))
            assert isinstance(found, OrderView)
            assert found.revision == 1
            there, known = remote.in_force(found.revision, 50)
            assert ([gate.gate for gate in there], known) == (["edge-1"], 1)
            assert passes(gate, "www.dnspod.cn")
            # Each of them was answered 200 by the site itself.
            assert origin.requests[-1].host == "www.dnspod.cn"
            wait_for(lambda: _with_traffic(registry) == ["dnspod.cn"], "the report of traffic", 20)
            (standing,) = remote.gates()
            assert (standing.revision, standing.lag) == (1, 0)
            assert standing.channel in {channel, "pull"}  # what was missed is pulled

            entry = change(purpose=Purpose.CANCEL)
            number = remote.step(NewOrder(account="a1", entry=entry)).id
            remote.step(SubmitOrder(order=number))
            remote.step(PassOrder(order=number))
            remote.step(ReportPerson(order=number, person=1, verified=True))
            assert passes(gate, "dnspod.cn")
            found = remote.step(ApproveOrder(order=number))
            assert isinstance(found, OrderView)
            assert found.revision == 2
            there, _ = remote.in_force(found.revision, 50)
            assert [gate.gate for gate in there] == ["edge-1"]
            assert not passes(gate, "dnspod.cn")
            _decide_for_every_gate(remote, gate)
            if channel == "pull":
                _decisions_end_without_a_registry(registry, gate)
        finally:
            gate.stop()
            origin.close()


def _decide_for_every_gate(remote: Remote, gate: Gate) -> None:
    """An exempt domain passes, a suspended one is blocked, and both end."""
    for command, passing in (
        (ExemptDomain(domain="dnspod.cn", seconds=600, reason="迁移中"), True),
        (SuspendDomain(domain="dnspod.cn", seconds=600, reason="核查"), False),
        (ExemptDomain(domain="dnspod.cn", seconds=600, reason="迁移中"), True),
        (EndOverride(domain="dnspod.cn"), False),
    ):
        there, _ = remote.in_force(remote.perform(command).revision, 50)
        assert [one.gate for one in there] == ["edge-1"]
        assert passes(gate, "www.dnspod.cn") is passing
        if isinstance(command, ExemptDomain):
            checked = ask(gate, "GET", "/v1/check?host=dnspod.cn", token=token_of(gate))
            assert "exempt until" in checked.text


def _with_traffic(registry: RegistryProcess) -> list[str]:
    """The domains that the registry was told of as asked for at a gate."""
    query = "SELECT domain FROM domains WHERE seen_at > 0"
    with contextlib.closing(sqlite3.connect(registry.folder / "registry.db")) as database:
        return [domain for (domain,) in database.execute(query)]


def _decisions_end_without_a_registry(registry: RegistryProcess, gate: Gate) -> None:
    """Each ends by the gate's own clock: what was exempt is blocked, and what is filed passes."""
    registry.file("filed.cn")
    # Of a registry whose clock is a minute behind: the end comes soon, and not from the registry.
    database = Database(str(registry.folder / "registry.db"))
    behind = Registry(database, clock=lambda: time.time() - 54)
    behind.perform(SuspendDomain(domain="filed.cn", seconds=60, reason="核查"), actor=LOCAL)
    exempt = ExemptDomain(domain="new.cn", seconds=60, reason="迁移中")
    told = behind.perform(exempt, actor=LOCAL)[0].revision
    database.close()
    registry.remote.in_force(told, 50)
    registry.kill()
    wait_for(lambda: verdicts(gate, "www.filed.cn") == {True}, "the suspension's end", 20)
    wait_for(lambda: verdicts(gate, "www.new.cn") == {False}, "the exemption's end", 20)
    assert figure(gate, "gate_sync_enforced_revision") == told  # no end came from the registry

"""Two registries on one PostgreSQL behind a balancer: each does everything, and one may die."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from gate.registry.bulk.files import FileFormat
from gate.registry.client import Remote
from gate.registry.commands import (
    AccessFiling,
    Approve,
    CancelAccess,
    CancelService,
    CancelSubject,
    ChangeService,
    ChangeSubject,
    FirstFiling,
    NewService,
    Reject,
    Resume,
    Role,
    ServiceData,
    SubjectData,
    Suspend,
)
from gate.registry.local import Local
from gate.registry.opening import open_registry
from gate.registry.places import Places
from gate.registry.unfiled import UnfiledQuery
from gate.registry.verifying import verify
from gate.settings import RegistrySettings
from tests.harness.balancer import balancer
from tests.harness.following import figure, make_gate, passes, push_section
from tests.harness.gate_process import Gate
from tests.harness.nats_server import NatsServer, nats_server
from tests.harness.postgres import running_server
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import patience, wait_for

pytestmark = pytest.mark.programs


@dataclass(slots=True)
class Pair:
    """Two registries, their database, the balancer, and gates that follow in each way."""

    registries: list[RegistryProcess]
    database: str
    url: str
    pushed: Gate
    pulling: Gate
    published: Gate

    @property
    def remote(self) -> Remote:
        """The registries, as clerks reach them."""
        return Remote(self.url, self.registries[0].admin)

    @property
    def gates(self) -> tuple[Gate, ...]:
        return (self.pushed, self.pulling, self.published)

    def settle(self, revision: int, seconds: float = 20) -> None:
        """Until every gate enforces a revision."""
        for gate in self.gates:
            wait_for(
                lambda gate=gate: figure(gate, "gate_sync_enforced_revision") >= revision,  # type: ignore[misc]
                f"revision {revision}; the log is {gate.log}",
                seconds,
            )

    def opened(self) -> Local:
        """The database itself."""
        first = self.registries[0]
        settings = RegistrySettings.model_validate(first.registry)
        return Local(open_registry(Places.of(settings, first.folder), settings))


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, nats: NatsServer) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    push = push_section()
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(running_server())
        database = postgres.new_database()
        shared = {
            "database": database,
            "keys_dir": str(folder / "keys"),
            "push": [{"name": "edge", "url": f"http://{push['listen']}"}],
            "nats": {"servers": [nats.url]},
        }
        registries = [RegistryProcess(folder / name, dict(shared)) for name in ("a", "b")]
        # The keys are made once, and given to both: here they share the folder.
        for registry in registries:
            stack.callback(registry.kill)
            registry.start()
        url = stack.enter_context(balancer(folder, [one.port for one in registries]))
        first = registries[0]
        keys = str(folder / "keys" / "public.json")
        sync = {"registry": url, "token_file": str(first.token_file), "keys": keys}
        report = {"unfiled": {"report": {"enabled": True, "seconds": 1}}}
        gates = [
            make_gate(folder / "pushed", {**sync, "gate": "pushed", "push": push}),
            make_gate(folder / "pulling", {**sync, "gate": "pulling"}, **report),
            make_gate(
                folder / "published",
                {**sync, "gate": "published", "nats": {"servers": [nats.url]}},
            ),
        ]
        for gate in gates:
            stack.callback(gate.stop)
            gate.start()
        yield Pair(registries, database, url, *gates)


def first_filing(account: str, domain: str) -> FirstFiling:
    return FirstFiling(
        account=account,
        province="鲁",
        subject=SubjectData(name=f"{account}公司"),
        service=ServiceData(name="网站", domains=(domain,)),
    )


def test_every_operation_is_done_by_either_and_seen_by_both(pair: Pair, tmp_path: Path) -> None:
    remote = pair.remote
    number = "鲁ICP备09090609号"

    def approve(application: int | None, licence: str | None = None) -> int:
        assert application is not None
        return remote.perform(
            Approve(application=application, licence=licence, generate=licence is None)
        ).revision

    approve(remote.perform(first_filing("a1", "one.cn")).application, f"{number}-2")
    service = ServiceData(name="二", domains=("two.cn",))
    approve(remote.perform(NewService(account="a1", licence=number, service=service)).application)
    rejected = remote.perform(first_filing("a2", "never.cn")).application
    assert rejected is not None
    remote.perform(Reject(application=rejected, reason="材料不全"))
    remote.perform(ChangeService(domain="two.cn", domains=("three.cn",)))
    remote.perform(ChangeSubject(licence=number, name="新公司"))
    remote.perform(Suspend(domain="three.cn", reason="违法内容"))
    remote.perform(Resume(domain="three.cn"))
    remote.perform(CancelAccess(domain="three.cn"))
    at = remote.filing("three.cn").licence
    remote.perform(AccessFiling(account="a1", domain="three.cn", licence=at))
    remote.perform(CancelService(domain="three.cn"))
    revision = remote.perform(CancelSubject(licence=number)).revision
    for one in pair.registries:
        found = {row.domain: row.status for row in one.remote.search(limit=10)}
        assert found == {"one.cn": "absent", "three.cn": "absent", "two.cn": "absent"}
    # Imports, exports, tokens.
    path = tmp_path / "list.csv"
    rows = [f"listed{n}.cn,京ICP备{30000000 + n}号-1,公司{n}" for n in range(500)]
    path.write_text("\n".join(["domain,licence,subject", *rows]) + "\n")
    *_, state = remote.import_file(path, FileFormat.CSV)
    assert (state.state, state.accepted) == ("done", 500)
    exports = [b"".join(one.remote.export(FileFormat.CSV)) for one in pair.registries]
    assert exports[0] == exports[1]
    assert exports[0].count(b"\nlisted") == 500
    info, text = remote.make_token(name="clerk", role=Role.READER, lifetime=None)
    for _ in range(4):
        assert Remote(pair.url, text).head().revision == revision + 500
    remote.revoke_token(info.id)
    pair.settle(revision + 500)
    assert all(passes(gate, "listed7.cn") for gate in pair.gates)


def test_what_gates_report_is_counted_once(pair: Pair) -> None:
    for _ in range(12):
        passes(pair.pulling, "wanted.example.org")
    before = figure(pair.pulling, "gate_decisions_total", reason="unfiled")

    def told() -> int:
        found = pair.remote.unfiled(UnfiledQuery(), limit=None)
        return sum(row.count for row in found if row.name == "wanted.example.org")

    wait_for(lambda: told() >= before, "the reports", 30)
    assert told() == before


def test_the_gates_positions_are_known_to_both(pair: Pair) -> None:
    head = pair.remote.head().revision
    for one in pair.registries:
        wait_for(lambda one=one: len(one.remote.gates()) >= 3, "three gates")  # type: ignore[misc]
        wait_for(
            lambda one=one: all(gate.revision == head for gate in one.remote.gates()),  # type: ignore[misc]
            f"all at revision {head}: {one.remote.gates()}",
        )


@dataclass
class Clerk:
    """Files names as fast as it goes, each once whatever happens to a registry."""

    url: str
    token: str
    name: str
    filed: list[str] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)
    failed: BaseException | None = None

    def run(self) -> None:
        try:
            number = 0
            while not self.stop.is_set():
                number += 1
                domain = f"{self.name}-{number}.cn"
                account = f"{self.name}-{number}"
                made = self._do("first-filing", first_filing(account, domain).model_dump_json())
                body = json.dumps({"application": made["application"], "generate": True})
                self.revisions.append(self._do("approve", body)["revision"])
                self.filed.append(domain)
        except BaseException as error:  # told by the test
            self.failed = error

    def _do(self, operation: str, body: str) -> Any:
        """One operation, asked again under its key until it is answered."""
        key = f"{self.name}-{operation}-{len(self.filed)}"
        request = Request(
            f"{self.url}/v1/operations/{operation}",
            body.encode(),
            {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "Idempotency-Key": key,
            },
        )
        end = time.monotonic() + patience(30)
        while True:
            try:
                with urlopen(request, timeout=patience(20)) as response:
                    self.statuses[response.status] += 1
                    return json.load(response)
            except HTTPError as error:
                self.statuses[error.code] += 1
                if error.code not in (502, 503, 504):
                    raise AssertionError(f"{error.code}: {error.read()!r}") from error
            assert time.monotonic() < end, f"no answer to {operation}: {self.statuses}"
            time.sleep(0.05)


def test_one_is_killed_under_load_and_nothing_is_lost(pair: Pair) -> None:
    clerks = [Clerk(pair.url, pair.registries[0].admin, f"clerk{n}") for n in range(4)]
    threads = [threading.Thread(target=clerk.run) for clerk in clerks]
    for thread in threads:
        thread.start()
    try:
        for round_, victim in enumerate(pair.registries):
            goal = [len(clerk.filed) + 5 for clerk in clerks]
            wait_for(lambda goal=goal: _reached(clerks, goal), "the load", 60)  # type: ignore[misc]
            victim.kill()
            killed = time.monotonic()
            at_kill = max(max(clerk.revisions) for clerk in clerks)
            goal = [len(clerk.filed) + 3 for clerk in clerks]
            wait_for(lambda goal=goal: _reached(clerks, goal), "work to go on", 60)  # type: ignore[misc]
            assert max(max(clerk.revisions) for clerk in clerks) > at_kill
            for gate in pair.gates:
                wait_for(
                    lambda gate=gate, at=at_kill: (  # type: ignore[misc]
                        figure(gate, "gate_sync_enforced_revision") > at
                    ),
                    f"changes after the kill; the log is {gate.log}",
                )
            assert time.monotonic() - killed < patience(20)
            victim.start()
            wait_for(lambda: _all_up(pair), f"round {round_}: both to be up", 30)
    finally:
        for clerk in clerks:
            clerk.stop.set()
        for thread in threads:
            thread.join(patience(60))
    assert [clerk.failed for clerk in clerks] == [None] * 4
    answered = sum((clerk.statuses for clerk in clerks), Counter[int]())
    assert 500 not in answered
    filed = [domain for clerk in clerks for domain in clerk.filed]
    head = pair.remote.head().revision
    pair.settle(head, 30)
    local = pair.opened()
    try:
        with local.registry.database.read() as connection:
            assert list(verify(connection, local.registry.provider)) == []
        for domain in filed:
            assert local.filing(domain).status == "filed"
        applications = list(local.applications(limit=100_000, state=None))
        # Each was filed once: what was asked again under its key was not done again.
        asked = Counter(name for item in applications for name in item.request.service.domains)
        assert all(asked[domain] == 1 for domain in filed)
    finally:
        local.close()
    revisions = sorted(revision for clerk in clerks for revision in clerk.revisions)
    assert len(set(revisions)) == len(revisions)
    for gate in pair.gates:
        assert passes(gate, filed[0])
        assert passes(gate, filed[-1])


def _reached(clerks: list[Clerk], goal: list[int]) -> bool:
    for clerk in clerks:
        if clerk.failed is not None:
            raise clerk.failed
    return all(len(clerk.filed) >= least for clerk, least in zip(clerks, goal, strict=True))


def _all_up(pair: Pair) -> bool:
    return all(one.remote.head().revision for one in pair.registries)


def test_a_clerk_signed_in_to_the_console_is_known_to_both(pair: Pair) -> None:
    keys = Path(pair.registries[0].registry["keys_dir"])
    assert (keys / "console.key").exists()
    first, second = pair.registries
    cookie = _sign_in(first)
    for one in (first, second):
        request = Request(f"{one.url}/console/", headers={"Cookie": cookie})
        with urlopen(request, timeout=patience(20)) as response:
            assert "/login" not in response.url
            assert response.status == 200


def _sign_in(registry: RegistryProcess) -> str:
    import http.client
    from urllib.parse import urlencode

    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=patience(20))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/console/login", urlencode({"token": registry.admin}), headers)
    response = connection.getresponse()
    cookie = (response.getheader("Set-Cookie") or "").partition(";")[0]
    connection.close()
    assert response.status in (302, 303), response.status
    return cookie

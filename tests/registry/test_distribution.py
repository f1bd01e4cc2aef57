"""The registry's side of push, and of TLS with client certificates."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession, web
from aiohttp.test_utils import TestServer

from gate.changes.batch import PAYLOAD_TYPE, Batch, decode
from gate.changes.envelope import unseal
from gate.changes.keys import KeyStore
from gate.changes.push import PUSH_PATH
from gate.cli import certs
from gate.net.bind import listen
from gate.net.certificate_expiry import expires_at
from gate.registry.client import Remote, RemoteError
from gate.registry.commands import Approve, CancelService, Role
from gate.registry.places import Places
from gate.registry.server import make_service, serve
from gate.settings import Address, RegistrySettings
from gate.sync.receiver import push_app
from tests.harness.waiting import wait_for
from tests.registry.conftest import Api, serving
from tests.registry.filings import first_filing


class FakeGate:
    """A gate's push port that acknowledges, or says what it has."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.revision = 0
        self.keys: Path | None = None

    async def take(self, request: web.Request) -> web.Response:
        assert self.keys is not None
        trusted = [key.key() for key in KeyStore(self.keys).list()]
        batch = decode(unseal(await request.read(), PAYLOAD_TYPE, trusted, limit=1_000_000))
        self.batches.append(batch)
        if batch.from_revision > self.revision:
            return web.json_response({"have": self.revision}, status=409)
        self.revision = batch.to_revision
        return web.json_response({"revision": self.revision})


@pytest.fixture
async def pushed(tmp_path: Path) -> AsyncIterator[tuple[Api, FakeGate]]:
    """A registry that pushes to one gate."""
    gate = FakeGate()
    gate.keys = tmp_path / "keys"
    app = web.Application()
    app.router.add_post(PUSH_PATH, gate.take)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        push = [{"name": "edge-1", "url": url}]
        async with serving(str(tmp_path / "registry.db"), tmp_path, push=push) as api:
            yield api, gate


async def until_enforced(api: Api, revision: int) -> None:
    def enforced() -> bool:
        return api.service.distribution.gates[0].revision == revision

    await asyncio.to_thread(wait_for, enforced, f"revision {revision} to be enforced", 20)


async def test_a_change_is_pushed_signed_and_its_acknowledgement_shown(
    pushed: tuple[Api, FakeGate],
) -> None:
    api, gate = pushed
    await until_enforced(api, 0)
    await api.do(first_filing("a.cn"))
    await api.do(Approve(application=1, generate=True))
    await until_enforced(api, 1)
    await api.do(CancelService(domain="a.cn"))
    await until_enforced(api, 2)
    sent = [change.domain for batch in gate.batches for change in batch.changes]
    assert sent == ["a.cn", "a.cn"]
    answer = await api.call("GET", "/v1/followers", role=Role.READER)
    (shown,) = answer.json()["gates"]
    assert (shown["name"], shown["revision"], shown["last_error"]) == ("edge-1", 2, "")
    figures = (await api.call("GET", "/metrics", role=Role.READER)).body.decode()
    assert 'gate_registry_gate_revision{gate="edge-1"} 2.0' in figures
    assert "gate_registry_revision 2.0" in figures
    assert 'gate_registry_requests_total{endpoint="approve",status="200"} 1.0' in figures


async def test_a_gate_that_lacks_changes_is_sent_them(pushed: tuple[Api, FakeGate]) -> None:
    api, gate = pushed
    await api.do(first_filing("a.cn"))
    await api.do(Approve(application=1, generate=True))
    await until_enforced(api, 1)
    gate.revision = 0  # it was set back to a backup
    await api.do(CancelService(domain="a.cn"))
    await until_enforced(api, 2)
    assert gate.revision == 2


@pytest.mark.programs
async def test_the_ends_of_its_certificates_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "certs"
    made = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=360)
    certs.init(folder, ["localhost"], now=made)
    tls = {"certificate": str(folder / "registry.pem"), "key": str(folder / "registry.key")}
    async with serving(str(tmp_path / "registry.db"), tmp_path, tls=tls) as api:
        figures = (await api.call("GET", "/metrics", role=Role.READER)).body.decode()
        end = expires_at(folder / "registry.pem")
        sample = 'gate_certificate_expiry_timestamp_seconds{setting="registry.tls"} '
        (line,) = (line for line in figures.splitlines() if line.startswith(sample))
        assert float(line.removeprefix(sample)) == end
        await asyncio.to_thread(wait_for, lambda: "ends in 4 days" in caplog.text, "the line", 20)


async def test_refusals_are_counted(lite_api: Api) -> None:
    await lite_api.call("GET", "/v1/head", role=None)
    await lite_api.call("GET", "/v1/audit", role=Role.READER)
    figures = (await lite_api.call("GET", "/metrics", role=Role.READER)).body.decode()
    assert 'gate_registry_refusals_total{code="token_missing"} 1.0' in figures
    assert 'gate_registry_refusals_total{code="role_insufficient"} 1.0' in figures
    assert (await lite_api.call("GET", "/metrics", role=None)).status == 401


async def test_over_tls_only_who_shows_a_certificate_gets_in(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    certs.init(folder, ["localhost", "127.0.0.1"], now=datetime.datetime.now(datetime.UTC))
    files = {path.name: path for path in folder.iterdir()}
    settings = RegistrySettings.model_validate(
        {
            "tls": {
                "certificate": str(files["registry.pem"]),
                "key": str(files["registry.key"]),
                "client_ca": str(files["ca.pem"]),
            }
        }
    )
    places = Places(str(tmp_path / "registry.db"), tmp_path / "keys", tmp_path / "work")
    listener = listen(Address(host="127.0.0.1", port=0), "registry.listen")
    stop = asyncio.Event()
    server = asyncio.create_task(serve(make_service(places, settings), listener, stop=stop))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/healthz"
    with_certificate = ssl.create_default_context(cafile=files["ca.pem"])
    with_certificate.load_cert_chain(files["gate-client.pem"], files["gate-client.key"])
    without = ssl.create_default_context(cafile=files["ca.pem"])
    async with ClientSession() as session:
        async with session.get(url, ssl=with_certificate) as response:
            assert json.loads(await response.read())["status"] == "ok"
        with pytest.raises(ClientConnectionError):
            await session.get(url, ssl=without)
    remote = Remote(
        url.removesuffix("/healthz"),
        "a token",
        ca=files["ca.pem"],
        certificate=files["gate-client.pem"],
        key=files["gate-client.key"],
    )
    with pytest.raises(RemoteError, match="token"):
        await asyncio.to_thread(remote.head)
    stop.set()
    await server


async def test_keys_that_are_out_of_reach_for_a_moment_stop_no_push_for_good(
    pushed: tuple[Api, FakeGate],
) -> None:
    api, gate = pushed
    await until_enforced(api, 0)
    assert gate.keys is not None
    aside = gate.keys.rename(gate.keys.with_name("keys-aside"))
    await api.do(first_filing("a.cn"))
    await api.do(Approve(application=1, generate=True))
    status = api.service.distribution.gates[0]
    await asyncio.to_thread(wait_for, lambda: status.failures > 0, "a failed push", 20)
    assert "public.json" in status.last_error
    aside.rename(gate.keys)
    await until_enforced(api, 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"[" * 16_000, "answered 200"),
        (b"<html>", "answered 200"),
        (b"", "answered 200"),
        (b'{"revision": %s}' % (b"9" * 400), ""),
    ],
)
@pytest.mark.programs
async def test_whatever_a_gate_answers_the_others_are_pushed_to(
    tmp_path: Path, answer: bytes, said: str
) -> None:
    async def babble(_: web.Request) -> web.Response:
        return web.Response(body=answer)

    sound = FakeGate()
    sound.keys = tmp_path / "keys"
    app = web.Application()
    app.router.add_post(PUSH_PATH, sound.take)
    app.router.add_post(f"/odd{PUSH_PATH}", babble)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        push = [{"name": "edge-1", "url": url}, {"name": "edge-2", "url": f"{url}/odd"}]
        async with serving(str(tmp_path / "registry.db"), tmp_path, push=push) as api:
            odd = api.service.distribution.gates[1]
            await asyncio.to_thread(wait_for, lambda: odd.failures + odd.pushes, "a push", 20)
            assert said in odd.last_error
            assert odd.revision is None
            await api.do(first_filing("a.cn"))
            await api.do(Approve(application=1, generate=True))
            await until_enforced(api, 1)
            assert (await api.call("GET", "/metrics")).status == 200


@pytest.mark.parametrize(
    ("own_names", "listed"),
    [
        (["own-1", "own-2"], ["own-1", "own-2"]),
        (["same", "same"], ["edge-0", "edge-1"]),  # not taken for one
        (["own-1", "a b"], ["edge-1", "own-1"]),
    ],
)
@pytest.mark.programs
async def test_a_gate_that_is_pushed_to_counts_by_its_own_name(
    tmp_path: Path, own_names: list[str], listed: list[str]
) -> None:
    """The name under which it pulls and reports: one gate is in the list once."""

    async def take(arriving: Awaitable[bytes]) -> int:
        trusted = [key.key() for key in KeyStore(tmp_path / "keys").list()]
        sealed = unseal(await arriving, PAYLOAD_TYPE, trusted, limit=1_000_000)
        return decode(sealed).to_revision

    app = web.Application()
    for place, name in enumerate(own_names):
        app.add_subapp(f"/{place}", push_app(take, lambda: 0, name=name))
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        push = [{"name": f"edge-{place}", "url": f"{url}/{place}"} for place in range(2)]
        async with serving(str(tmp_path / "registry.db"), tmp_path, push=push) as api:
            epoch = api.service.feed.head.epoch
            pull = {"Gate-Name": "own-1", "Gate-Enforced": f"{epoch} 0"}
            if "own-1" in own_names:
                await api.call("GET", "/v1/changes?since=0", role=Role.READER, headers=pull)
            async with asyncio.timeout(30):
                while len(found := await _gates(api)) < 2:
                    await api.service.positions.news.wait()
            assert found == listed


async def _gates(api: Api) -> list[str]:
    answer = await api.call("GET", "/v1/gates", role=Role.READER)
    return [one["gate"] for one in answer.json()["gates"]]


@pytest.mark.parametrize(("address", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
async def test_plain_http_is_warned_of_where_others_can_read_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, address: str, warned: bool
) -> None:
    settings = RegistrySettings()
    made = make_service(Places.of(settings, tmp_path), settings)
    stop = asyncio.Event()
    stop.set()
    with listen(Address(host=address, port=0), "registry.listen") as listener:
        await serve(made, listener, stop=stop)
    assert ("tokens can be read on the way" in caplog.text) is warned

"""Mutual TLS between registry and gate, and certificates that change while it runs."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession, web
from click.testing import CliRunner

from gate.cli import certs
from gate.cli.keys import certs as certs_command
from gate.net.tls import ClientContext, ServerContext, TlsError
from gate.settings import ClientTls

NOW = datetime.datetime.now(datetime.UTC)


def make(folder: Path) -> Path:
    certs.init(folder, ["localhost", "127.0.0.1"], now=NOW)
    return folder


def client_of(folder: Path, name: str | None = "gate-client") -> ClientTls:
    return ClientTls(
        ca=folder / "ca.pem",
        certificate=None if name is None else folder / f"{name}.pem",
        key=None if name is None else folder / f"{name}.key",
    )


@dataclass
class Port:
    """A port with mutual TLS."""

    folder: Path
    context: ServerContext
    url: str = ""

    async def ask(self, tls: ClientTls) -> bool:
        """Whether a new connection with these certificates gets an answer."""
        async with ClientSession() as session:
            try:
                async with session.get(self.url, ssl=ClientContext(tls).context) as response:
                    return await response.read() == b"here"
            except ClientConnectionError:
                return False


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    folder = make(tmp_path / "certs")
    context = ServerContext(folder / "registry.pem", folder / "registry.key", folder / "ca.pem")
    app = web.Application()

    async def here(request: web.Request) -> web.Response:
        return web.Response(body=b"here")

    app.router.add_get("/", here)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context.listening)
    await site.start()
    address = runner.addresses[0]
    yield Port(folder, context, f"https://127.0.0.1:{address[1]}/")
    await runner.cleanup()


async def test_who_shows_a_certificate_of_the_ca_gets_in(port: Port, tmp_path: Path) -> None:
    stranger = make(tmp_path / "other")
    assert await port.ask(client_of(port.folder))
    assert not await port.ask(client_of(port.folder, None)), "no certificate"
    forged = client_of(stranger).model_copy(update={"ca": port.folder / "ca.pem"})
    assert not await port.ask(forged), "a certificate of another CA"
    assert not await port.ask(client_of(port.folder, "gate")), "a server's certificate"


async def test_a_server_of_another_ca_is_not_spoken_to(port: Port, tmp_path: Path) -> None:
    stranger = make(tmp_path / "other")
    wrong = client_of(port.folder).model_copy(update={"ca": stranger / "ca.pem"})
    assert not await port.ask(wrong)


async def test_new_certificates_and_a_new_ca_hold_for_the_next_connection(
    port: Port, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(port.folder, old)
    assert await port.ask(client_of(old))
    shutil.rmtree(port.folder)
    make(port.folder)
    assert await port.ask(client_of(port.folder))
    assert not await port.ask(client_of(old)), "the old CA is trusted no more"


async def test_one_context_follows_its_files_on_the_clients_side(
    port: Port, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(port.folder, mine)
    context = ClientContext(client_of(mine))
    first = context.current()
    assert context.current() is first
    shutil.rmtree(mine)
    make(mine)
    assert context.current() is not first


@pytest.mark.parametrize("name", ["registry.key", "registry.pem", "ca.pem"])
async def test_a_file_that_breaks_leaves_the_last_good_ones(port: Port, name: str) -> None:
    good = (port.folder / name).read_bytes()
    for content in (b"", b"junk", (port.folder / "gate.key").read_bytes(), None):
        if content is None:
            (port.folder / name).unlink()
        else:
            (port.folder / name).write_bytes(content)
        tls = client_of(port.folder)
        if name == "ca.pem":
            kept = port.folder / "kept.pem"
            kept.write_bytes(good)
            tls = tls.model_copy(update={"ca": kept})
        assert await port.ask(tls), content
    (port.folder / name).write_bytes(good)
    assert await port.ask(client_of(port.folder))


async def test_no_session_is_resumed_past_the_check_of_the_certificate(port: Port) -> None:
    context = ClientContext(client_of(port.folder)).context
    host, number = "127.0.0.1", int(port.url.rstrip("/").rpartition(":")[2])
    reader, writer = await asyncio.open_connection(host, number, ssl=context)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"here")
    session = writer.get_extra_info("ssl_object").session
    assert session is None or not session.has_ticket
    writer.close()


@pytest.mark.parametrize("missing", ["gate.pem", "gate.key", "ca.pem"])
def test_missing_files_are_named_at_the_start(tmp_path: Path, missing: str) -> None:
    folder = make(tmp_path / "certs")
    (folder / missing).unlink()
    with pytest.raises(TlsError, match=f"{missing}.*gate certs init"):
        ServerContext(folder / "gate.pem", folder / "gate.key", folder / "ca.pem")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "certs")
    with pytest.raises(TlsError, match=r"gate\.pem.*registry\.key"):
        ServerContext(folder / "gate.pem", folder / "registry.key", None)


def test_gate_certs_init(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    made = CliRunner().invoke(certs_command, ["init", "--dir", str(folder), "--name", "gate.test"])
    assert made.exit_code == 0
    names = {Path(line).name for line in made.output.split()}
    assert names == {path.name for path in folder.iterdir()}
    for path in folder.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = (folder / "ca.pem").read_bytes()
    again = CliRunner().invoke(certs_command, ["init", "--dir", str(folder)])
    assert again.exit_code == 1
    assert "is there already" in again.output
    assert (folder / "ca.pem").read_bytes() == before
    bad = CliRunner().invoke(
        certs_command, ["init", "--dir", str(tmp_path / "x"), "--name", "例子.cn"]
    )
    assert bad.exit_code == 1
    assert "A-label" in bad.output

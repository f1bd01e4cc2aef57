"""Why the other side can't be reached: the same words each time, and what may be the matter."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, web

from gate.cli import certs
from gate.net.tls import ClientContext, ServerContext
from gate.net.unreachable import reason
from gate.settings import ClientTls
from tests.harness.ports import free_port
from tests.net.test_tls import client_of

NOW = datetime.datetime.now(datetime.UTC)
YEAR = datetime.timedelta(days=365)


def made(folder: Path, now: datetime.datetime) -> Path:
    certs.init(folder, ["127.0.0.1"], now=now)
    return folder


async def failed(url: str, tls: ClientTls) -> str:
    """The reason why a request comes to nothing."""
    async with ClientSession() as session:
        with pytest.raises(ClientError) as caught:
            await session.get(url, ssl=ClientContext(tls).context)
    return reason(caught.value, shown=tls.certificate)


async def serve(folder: Path, ca: Path) -> tuple[web.AppRunner, str]:
    context = ServerContext(folder / "gate.pem", folder / "gate.key", ca)
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context.listening).start()
    return runner, f"https://127.0.0.1:{runner.addresses[0][1]}/"


async def test_nobody_listens(tmp_path: Path) -> None:
    tls, url = client_of(made(tmp_path / "certs", NOW)), f"https://127.0.0.1:{free_port()}/"
    assert "Connect call failed" in await failed(url, tls)
    assert await failed(url, tls) == await failed(url, tls)


@pytest.mark.parametrize(("when", "said"), [(-2 * YEAR, "has expired"), (YEAR, "is not yet valid")])
async def test_a_server_out_of_date(tmp_path: Path, when: datetime.timedelta, said: str) -> None:
    folder = made(tmp_path / "certs", NOW + when)
    runner, url = await serve(folder, folder / "ca.pem")
    try:
        assert f"certificate {said}" in await failed(url, client_of(folder))
    finally:
        await runner.cleanup()


async def test_a_certificate_that_the_server_does_not_take(tmp_path: Path) -> None:
    mine, other = made(tmp_path / "mine", NOW), made(tmp_path / "other", NOW)
    runner, url = await serve(mine, other / "ca.pem")
    try:
        why = await failed(url, client_of(mine))
    finally:
        await runner.cleanup()
    assert f"if it refuses {mine / 'gate-client.pem'}: is that in date" in why

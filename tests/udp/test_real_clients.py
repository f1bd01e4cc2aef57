"""QUIC through the gate as real clients and real servers see it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import filings
from tests.harness.browser import new_page
from tests.harness.certificates import Certificates
from tests.harness.initial import CONNECTION_REFUSED, V1, V2
from tests.harness.quic_client import Refused, fetch, h3_connection
from tests.harness.quic_programs import (
    caddy_client,
    caddy_server,
    curl,
    fingerprint,
    gtlsclient,
    gtlsserver,
    through_caddy,
)
from tests.harness.quic_shared_socket import SharedSocket
from tests.harness.quic_stage import QuicStage
from tests.harness.waiting import patience

pytestmark = pytest.mark.programs

FILED, UNFILED = filings.FILED, filings.UNFILED
RETRYING = filings.TO_SUBTREE


@pytest.fixture
def port(stage: QuicStage) -> int:
    return stage.gate.ports["quic"]


# aioquic.


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("name", [FILED, f"www.{FILED}", RETRYING])
def test_aioquic_gets_a_filed_site(
    stage: QuicStage, certificates: Certificates, port: int, name: str, version: int
) -> None:
    """With either version, and from a server that sends a Retry first."""
    status, body = fetch(port, name, certificates, "/a", version=version)
    origin = "retrying-origin" if name == RETRYING else "quic-origin"
    assert (status, body.decode()) == (200, f"{origin} {name}/a")
    assert (stage.retrying if name == RETRYING else stage.origin).versions[-1] == version


@pytest.mark.parametrize("version", [V1, V2])
def test_aioquic_is_refused_an_unfiled_site(
    certificates: Certificates, port: int, version: int
) -> None:
    with pytest.raises(Refused) as caught:
        fetch(port, UNFILED, certificates, version=version)
    assert caught.value.code == CONNECTION_REFUSED


def test_a_connection_that_changes_its_version_goes_on(
    stage: QuicStage, certificates: Certificates, port: int
) -> None:
    """RFC 9368: the server answers in version 2, under the same connection ID's keys."""
    answer = fetch(port, FILED, certificates, version=V1, versions=[V2, V1])
    assert answer[0] == 200
    assert stage.origin.versions[-1] == V2


def test_uploads_and_downloads_go_through(certificates: Certificates, port: int) -> None:
    _, body = fetch(port, FILED, certificates, "/size=3000000", seconds=60)
    assert len(body) == 3_000_000
    _, body = fetch(port, FILED, certificates, "/", body=b"u" * 2_000_000, seconds=60)
    assert body == b"2000000 bytes"


def test_many_connections_at_a_time(certificates: Certificates, port: int) -> None:
    async def one(number: int) -> int:
        name = (FILED, f"www.{FILED}", RETRYING)[number % 3]
        async with h3_connection(port, name, certificates) as connection:
            replies = await asyncio.gather(*(connection.get(name, f"/{n}") for n in range(3)))
            return sum(reply.status == 200 for reply in replies)

    async def run() -> list[int]:
        async with asyncio.timeout(60):
            return await asyncio.gather(*map(one, range(12)))

    assert asyncio.run(run()) == [3] * 12


def test_several_connections_on_a_socket(
    stage: QuicStage, certificates: Certificates, port: int
) -> None:
    """Filed names are served, and the unfiled one between them is refused."""
    names = [FILED, RETRYING, UNFILED, f"www.{FILED}"]
    with SharedSocket(port, certificates) as client:
        outcomes = client.run(dict.fromkeys(names, "/shared"))
    assert outcomes == {
        FILED: f"quic-origin {FILED}/shared",
        RETRYING: f"retrying-origin {RETRYING}/shared",
        UNFILED: CONNECTION_REFUSED,
        f"www.{FILED}": f"quic-origin www.{FILED}/shared",
    }


# curl's library: BoringSSL and ngtcp2, as itself and as browsers.


@pytest.mark.parametrize("browser", ["", "chrome", "safari"])
def test_curl_gets_a_filed_site(certificates: Certificates, port: int, browser: str) -> None:
    done = curl(port, FILED, certificates, path="/curl", impersonate=browser)
    assert (done.returncode, done.stdout) == (0, f"quic-origin {FILED}:{port}/curl"), done.stderr


@pytest.mark.parametrize("browser", ["", "chrome"])
def test_curl_gets_nowhere_with_an_unfiled_site(
    stage: QuicStage, certificates: Certificates, port: int, browser: str
) -> None:
    """It takes a close in the handshake for a server that restarts, and tries again for a while.

    With nothing but silence it would have sent one connection's packets all the time.
    """
    before = stage.gate.decisions(scheme="quic", verdict="block", reason="unfiled")
    done = curl(port, UNFILED, certificates, impersonate=browser, seconds=3)
    assert done.returncode == 1
    assert "curl: (28)" in done.stderr
    tried = stage.gate.decisions(scheme="quic", verdict="block", reason="unfiled") - before
    assert tried > 2


# ngtcp2's own tools.


def test_ngtcp2_gets_a_filed_site(port: int, tmp_path: Path) -> None:
    done = gtlsclient(port, FILED, tmp_path, "-q", f"--download={tmp_path}", paths=("/page",))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page").read_text() == f"quic-origin {FILED}:{port}/page"


def test_ngtcp2_is_refused_an_unfiled_site(port: int, tmp_path: Path) -> None:
    done = gtlsclient(port, UNFILED, tmp_path)
    assert "CONNECTION_REFUSED" in done.stderr or "(0x2)" in done.stderr, done.stderr


def test_ngtcp2_goes_on_from_another_address(stage: QuicStage, port: int, tmp_path: Path) -> None:
    """A NAT that forgets: the client itself notices nothing, and the server validates the path."""
    moved = stage.gate.total("gate_quic_flows_moved_total")
    done = gtlsclient(
        port,
        FILED,
        tmp_path,
        *("--change-local-addr=100ms", "--nat-rebinding", "--delay-stream=600ms", "-q"),
        f"--download={tmp_path}",
        paths=("/moved",),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "moved").read_text() == f"quic-origin {FILED}:{port}/moved"
    assert stage.gate.total("gate_quic_flows_moved_total") > moved


def test_ngtcp2_learns_which_versions_there_are(port: int, tmp_path: Path) -> None:
    done = gtlsclient(
        port,
        FILED,
        tmp_path,
        "--version=v2draft",
        "--preferred-versions=v2draft,v1",
        "--other-versions=v2draft,v1",
    )
    assert done.returncode == 0, done.stderr
    assert "Version Negotiation" in done.stderr or "VN" in done.stderr


# quic-go.


def test_quic_go_gets_a_filed_site(certificates: Certificates, port: int, tmp_path: Path) -> None:
    with caddy_client(port, certificates, tmp_path) as caddy:
        answer = through_caddy(caddy, FILED, "/go")
    assert answer == (200, f"quic-origin 127.0.0.1:{port}/go")


def test_quic_go_is_refused_an_unfiled_site(
    certificates: Certificates, port: int, tmp_path: Path
) -> None:
    with caddy_client(port, certificates, tmp_path) as caddy:
        started = time.monotonic()
        assert through_caddy(caddy, UNFILED)[0] == 502
        assert time.monotonic() - started < patience(5), "it ran into its time-out"


# What they do not send.


def test_initials_end_with_the_first_handshake_packet(
    stage: QuicStage, certificates: Certificates, port: int, tmp_path: Path
) -> None:
    """No client sends Initials behind it (RFC 9001, 4.9.1): what is dropped there is no loss.

    On a slow machine one that was repeated may be overtaken, which is no loss either: each client
    has three tries.
    """
    clients: dict[str, Callable[[], object]] = {
        "aioquic": lambda: fetch(port, FILED, certificates, "/a"),
        "curl": lambda: curl(port, FILED, certificates, path="/curl"),
        "curl as chrome": lambda: curl(port, FILED, certificates, impersonate="chrome"),
        "ngtcp2": lambda: gtlsclient(port, FILED, tmp_path, "-q", paths=("/page",)),
    }

    def late(client: Callable[[], object]) -> float:
        before = stage.dropped("late_initial")
        client()
        return stage.dropped("late_initial") - before

    for name, client in clients.items():
        assert any(late(client) == 0 for _ in range(3)), name


# Servers.


def test_servers_of_other_makes(certificates: Certificates, tmp_path: Path) -> None:
    """quic-go, and ngtcp2 with and without address validation (Retry), behind one gate."""
    (tmp_path / "page").write_text("a page of gtlsserver")
    with (
        caddy_server(certificates, tmp_path) as caddy,
        gtlsserver(certificates, tmp_path) as plain,
        gtlsserver(certificates, tmp_path, "--validate-addr") as validating,
    ):
        stage = QuicStage(
            tmp_path,
            certificates,
            workers=1,
            routes={"caddy." + FILED: caddy, "plain." + FILED: plain, "retry." + FILED: validating},
        )
        try:
            port = stage.gate.ports["quic"]
            for name, expected in (
                ("caddy." + FILED, f"caddy: caddy.{FILED}/page"),
                ("plain." + FILED, "a page of gtlsserver"),
                ("retry." + FILED, "a page of gtlsserver"),
            ):
                for client in ("aioquic", "curl"):
                    if client == "aioquic":
                        answer = fetch(port, name, certificates, "/page")[1].decode()
                    else:
                        done = curl(port, name, certificates, path="/page", impersonate="chrome")
                        answer = done.stdout or done.stderr
                    assert answer == expected, (name, client)
        finally:
            stage.close()


# Chromium.


async def test_chromium_gets_a_filed_site_by_http_3(
    stage: QuicStage, certificates: Certificates, port: int, tmp_path: Path
) -> None:
    async with new_page(tmp_path, *forced(port, certificates), quic=True) as page:
        assert await page.open(f"https://{FILED}:{port}/chromium") == ""
        assert await page.text() == f"quic-origin {FILED}:{port}/chromium"
        protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
        assert await page.value(protocol) == "h3"


async def test_chromium_is_told_at_once_of_an_unfiled_site(
    certificates: Certificates, port: int, tmp_path: Path
) -> None:
    async with new_page(tmp_path, *forced(port, certificates), quic=True) as page:
        await page.open(f"https://{FILED}:{port}/warm")
        started = time.monotonic()
        assert await page.open(f"https://{UNFILED}:{port}/") == "net::ERR_QUIC_PROTOCOL_ERROR"
        assert time.monotonic() - started < patience(3), "silence takes it 4 s"


def forced(port: int, certificates: Certificates) -> list[str]:
    """Chromium's options to go by QUIC to the gate, and to trust the origin's certificate."""
    origins = ",".join(f"{name}:{port}" for name in (FILED, UNFILED))
    return [
        f"--origin-to-force-quic-on={origins}",
        "--host-resolver-rules=MAP * 127.0.0.1",
        f"--ignore-certificate-errors-spki-list={fingerprint(certificates)}",
    ]

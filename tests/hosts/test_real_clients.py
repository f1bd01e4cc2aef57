"""Real clients that ask for hosts and know nothing of the gate: browsers, curl, OpenSSL."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.wire.hello_retry import asks_again
from tests.harness import filings, hello
from tests.harness.browser import new_page
from tests.harness.inner_stage import FAMILIES, REDIRECT, SAME, TPROXY, InnerStage, Way
from tests.harness.namespaces import CLIENT, GATE, HOST, QUIC_HOST
from tests.harness.quic_origin import QuicOrigin
from tests.harness.quic_programs import curl, fingerprint
from tests.harness.retry import first_hello, second_hello
from tests.harness.tools import require
from tests.harness.waiting import wait_for

FILED, UNFILED = filings.FILED, filings.UNFILED
OVER_IPV6 = f"six.{FILED}"
BY_TCP = f"www.{FILED}"

both_families = pytest.mark.parametrize("family", FAMILIES, ids=("ipv4", "ipv6"))


@pytest.fixture
def quic(inner: InnerStage) -> Iterator[dict[int, QuicOrigin]]:
    """A real QUIC server on a host, at its address of each family."""
    with inner.networks.inside(inner.networks.hosts):
        origins = {
            family: QuicOrigin(inner.certificates, QUIC_HOST[family], port=TPROXY.quic)
            for family in FAMILIES
        }
    yield origins
    for origin in origins.values():
        origin.close()


# Chromium: one for all that it does.


async def test_chromium_gets_filed_sites_and_no_others(
    inner: InnerStage, quic: dict[int, QuicOrigin], tmp_path: Path
) -> None:
    """HTTP, HTTPS, and HTTP/3 to those that it is told to go to by QUIC."""
    resolved = {FILED: QUIC_HOST[4], OVER_IPV6: f"[{QUIC_HOST[6]}]", "*": HOST[4]}
    options = [
        f"--host-resolver-rules={','.join(f'MAP {name} {at}' for name, at in resolved.items())}",
        "--origin-to-force-quic-on="
        + ",".join(f"{name}:443" for name in (FILED, OVER_IPV6, UNFILED)),
        f"--ignore-certificate-errors-spki-list={fingerprint(inner.certificates)}",
        "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    ]
    networks = inner.networks
    with networks.inside(networks.client):
        async with new_page(tmp_path, *options, quic=True) as page:
            assert await page.open(f"http://{BY_TCP}/chromium") == ""
            assert await page.text() == f"origin: GET {BY_TCP} /chromium"
            assert await page.open(f"http://{UNFILED}/chromium") != ""  # no notice page out there
            assert await page.value("location.href") == "chrome-error://chromewebdata/"
            assert await page.open(f"https://{BY_TCP}/chromium") == ""
            assert await page.text() == f"tls origin: {BY_TCP} /chromium"
            assert await page.open(f"https://www.{UNFILED}/") == "net::ERR_CONNECTION_RESET"
            for name in (FILED, OVER_IPV6):
                assert await page.open(f"https://{name}/chromium") == ""
                assert await page.text() == f"quic-origin {name}/chromium"
                protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
                assert await page.value(protocol) == "h3"
            assert await page.open(f"https://{UNFILED}/") == "net::ERR_QUIC_PROTOCOL_ERROR"
    for family, name in ((4, FILED), (6, OVER_IPV6)):
        assert (name.encode(), b"/chromium") in quic[family].requests
    requests = inner.http[TPROXY.name, 4].about("/chromium")
    assert [request.value("host") for request in requests] == [BY_TCP]


# curl, and its library as a browser.


@both_families
def test_curl_gets_a_filed_site_and_no_other(inner: InnerStage, family: int, path: str) -> None:
    address = f"[{HOST[6]}]" if family == 6 else HOST[4]

    def ask(url: str) -> str:
        done = subprocess.run(
            [
                *(require("ip"), "netns", "exec", inner.networks.client, require("curl"), "-sS"),
                *("--connect-to", f"::{address}:", "--cacert", inner.certificates.authority),
                *("-w", " %{http_code} %{errormsg}", "--http1.1", url),
            ],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return done.stdout

    assert ask(f"http://{FILED}{path}") == f"origin: GET {FILED} {path} 200 "
    assert " 302 " in ask(f"http://{UNFILED}{path}")
    assert ask(f"https://{FILED}{path}") == f"tls origin: {FILED} {path} 200 "
    assert "reset by peer" in ask(f"https://{UNFILED}{path}")
    _, arrival = inner.request_about(TPROXY, family, path)
    assert arrival.peer[0] == GATE[family]


@both_families
@pytest.mark.parametrize("browser", ["", "safari"])
def test_curls_library_gets_a_filed_site_by_http_3(
    inner: InnerStage, quic: dict[int, QuicOrigin], family: int, browser: str
) -> None:
    with inner.networks.inside(inner.networks.client):
        done = curl(
            443, FILED, inner.certificates,
            path="/curl", impersonate=browser, host=QUIC_HOST[family],
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"quic-origin {FILED}/curl"), done.stderr
    assert quic[family].requests[-1][1] == b"/curl"


# The second ClientHello, which these hosts ask for.

asked_again = pytest.mark.parametrize("way", [REDIRECT, SAME], ids=str)


@asked_again
@both_families
def test_a_client_that_is_asked_for_a_second_hello_is_served(
    inner: InnerStage, way: Way, family: int
) -> None:
    host = inner.tls[way.name, family]
    before = len(host.server_names)
    context = inner.certificates.client_context()
    with (
        inner.connect(HOST[family], way.tls) as client,
        context.wrap_socket(client.sock, server_hostname=FILED) as tls,
    ):
        tls.sendall(b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"/again"):
            answer += tls.recv(4096)
    assert host.server_names[before:] == [FILED] * 2
    assert host.arrivals[-1].peer[0] == (CLIENT if way is SAME else GATE)[family]


@asked_again
@both_families
@pytest.mark.parametrize("name", [UNFILED, BY_TCP], ids=("unfiled", "another filed"))
def test_a_second_hello_with_another_name_is_reset_and_reaches_no_host(
    inner: InnerStage, way: Way, family: int, name: str
) -> None:
    """openssl#32472: a server takes the name of the second hello."""
    host = inner.tls[way.name, family]
    with inner.connect(HOST[family], way.tls) as client:
        client.send(first_hello(FILED.encode()))
        answer = client.read_some()
        while len(answer) < 43:
            answer += client.read_some()
        assert asks_again(answer)
        changed = hello.record(b"\x01", kind=20, version=b"\x03\x03")
        client.send(changed + hello.records(second_hello(name.encode())))
        client.expect_cut()
        wait_for(host.arrivals[-1].ended.is_set, "the host's connection to end, too")
    assert name not in host.server_names
    assert name.encode() not in host.arrivals[-1].received

"""QUIC clients and servers that are programs: curl's library, ngtcp2's tools, Caddy (quic-go)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.certificates import Certificates
from tests.harness.ports import free_port
from tests.harness.rights import with_own_mounts
from tests.harness.tools import require
from tests.harness.waiting import wait_for

_CURL = """
import sys
import curl_cffi
from curl_cffi import CurlHttpVersion, CurlOpt

port, name, path, authority, impersonate, seconds, host = sys.argv[1:]
session = curl_cffi.Session(curl_options={CurlOpt.RESOLVE: [f"{name}:{port}:{host}"]})
answer = session.get(
    f"https://{name}:{port}{path}",
    http_version=CurlHttpVersion.V3ONLY,
    impersonate=impersonate or None,
    verify=authority,
    timeout=float(seconds),
)
assert answer.http_version == 30, answer.http_version
sys.stdout.write(answer.text)
"""
_CADDY_SERVER = """{{
    admin off
    persist_config off
    auto_https off
    servers {{
        protocols h3
    }}
}}
https://:{port} {{
    bind 127.0.0.1
    tls {chain} {key}
    respond "caddy: {{http.request.host}}{{http.request.uri}}"
}}
"""
_CADDY_CLIENT = """{{
    admin off
    persist_config off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy https://127.0.0.1:{gate} {{
        header_up Host {{upstream_hostport}}
        transport http {{
            versions 3
            tls_server_name {{http.request.header.X-Name}}
            tls_trust_pool file {authority}
        }}
    }}
}}
"""


def curl(
    port: int,
    name: str,
    certificates: Certificates,
    *,
    path: str = "/",
    impersonate: str = "",
    seconds: float = 20,
    host: str = "127.0.0.1",
) -> subprocess.CompletedProcess[str]:
    """HTTP/3 with curl's library, as plain curl or as a browser; the body is on standard output."""
    words = [str(port), name, path, str(certificates.authority), impersonate, str(seconds)]
    words.append(host)
    return subprocess.run(
        [sys.executable, "-c", _CURL, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def gtlsclient(
    port: int, name: str, folder: Path, *options: str, paths: tuple[str, ...] = ("/",)
) -> subprocess.CompletedProcess[str]:
    """HTTP/3 with ngtcp2's client, which asks for the host that it dials; its log is on stderr."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 {name}\n")
    here = f'mount --bind {hosts} /etc/hosts && exec "$@"'
    return subprocess.run(
        [
            *with_own_mounts(),
            *("sh", "-c", here, "sh", require("gtlsclient"), "--no-quic-dump"),
            *("--exit-on-all-streams-close", "--timeout=8s", *options, name, str(port)),
            *(f"https://{name}:{port}{path}" for path in paths),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def gtlsserver(certificates: Certificates, folder: Path, *options: str) -> Iterator[str]:
    """ngtcp2's server, which serves the files of `folder`; gives its address."""
    port = free_port()
    command = [require("gtlsserver"), "-q", "--htdocs", str(folder), *options]
    where = ["127.0.0.1", str(port), str(certificates.key), str(certificates.chain)]
    with _running([*command, *where], folder / "gtlsserver.log"):
        wait_for(lambda: _is_taken(port), "gtlsserver")
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def caddy_server(certificates: Certificates, folder: Path) -> Iterator[str]:
    """quic-go as a server; gives its address."""
    port = free_port()
    text = _CADDY_SERVER.format(port=port, chain=certificates.chain, key=certificates.key)
    with _caddy(text, folder, "server"):
        wait_for(lambda: _is_taken(port), "Caddy")
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def caddy_client(gate: int, certificates: Certificates, folder: Path) -> Iterator[int]:
    """quic-go as a client of the gate's port; gives a port that takes HTTP for it."""
    port = free_port()
    text = _CADDY_CLIENT.format(port=port, gate=gate, authority=certificates.authority)
    with _caddy(text, folder, "client"):
        wait_for(lambda: _answers(port), "Caddy")
        yield port


def through_caddy(port: int, name: str, path: str = "/") -> tuple[int, str]:
    """Ask `name` through a `caddy_client`: the status (502 if QUIC came to nothing), the body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"X-Name": name})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def fingerprint(certificates: Certificates) -> str:
    """The leaf's public key as Chromium's --ignore-certificate-errors-spki-list takes it."""
    leaf = x509.load_pem_x509_certificate(certificates.chain.read_bytes())
    key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@contextlib.contextmanager
def _caddy(text: str, folder: Path, what: str) -> Iterator[None]:
    home = folder / f"caddy-{what}"
    home.mkdir()
    config = home / "Caddyfile"
    config.write_text(text)
    program = str(Path(sys.executable).parent / "caddy")
    command = [program, "run", "--adapter", "caddyfile", "--config", str(config)]
    with _running(command, home / "log", HOME=str(home), XDG_DATA_HOME=str(home)):
        yield


@contextlib.contextmanager
def _running(command: list[str], log: Path, **environ: str) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | environ)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def _is_taken(port: int) -> bool:
    """Whether somebody has a UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True

"""Record what real QUIC clients send first: one `data/quic/<client>.bin` each (`python -m`).

Every client is pointed at a UDP port of ours, which answers nothing; what comes within a second is
its first flight. A file holds its datagrams, each behind its length in two bytes. Run it again when
a client changes; `test_quic_clients.py` names what each file must say.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.certificates import make_certificates

NAME = "www.example.com.cn"
DATA = Path(__file__).parent / "data" / "quic"
QUIET_SECONDS = 1.0

CURL_CFFI = """
import sys, curl_cffi
from curl_cffi import CurlHttpVersion, CurlOpt
there = [f"{sys.argv[2]}:{sys.argv[1]}:127.0.0.1"]
session = curl_cffi.Session(curl_options={CurlOpt.RESOLVE: there})
session.get(f"https://{sys.argv[2]}:{sys.argv[1]}/", http_version=CurlHttpVersion.V3ONLY,
    impersonate=sys.argv[3] if len(sys.argv) > 3 else None, verify=False, timeout=4)
"""
CADDY = """{{
    admin off
    auto_https off
    persist_config off
}}
:{http} {{
    reverse_proxy https://127.0.0.1:PORT {{
        transport http {{
            versions 3
            tls_server_name NAME
            tls_insecure_skip_verify
        }}
    }}
}}
"""


def aioquic(*, version: int) -> Callable[[int], None]:
    """A connection attempt of aioquic."""

    def start(port: int) -> None:
        from aioquic.asyncio.client import connect
        from aioquic.quic.configuration import QuicConfiguration

        async def dial() -> None:
            configuration = QuicConfiguration(
                is_client=True,
                alpn_protocols=["h3"],
                server_name=NAME,
                original_version=version,
                supported_versions=[version],
                idle_timeout=4,
            )
            async with connect("127.0.0.1", port, configuration=configuration):
                pass

        def run() -> None:
            with contextlib.suppress(ConnectionError):
                asyncio.run(dial())

        threading.Thread(target=run, daemon=True).start()

    return start


def program(*command: str) -> Callable[[int], None]:
    """A program; PORT and NAME are filled in."""

    def start(port: int) -> None:
        filled = [word.replace("PORT", str(port)).replace("NAME", NAME) for word in command]
        RUNNING.append(
            subprocess.Popen(filled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )

    return start


RUNNING: list[subprocess.Popen[bytes]] = []
ASKING: list[socket.socket] = []


def caddy(work: Path) -> Callable[[int], None]:
    """quic-go, as the client half of a Caddy."""

    def start(port: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            http = free.getsockname()[1]
        config = work / "Caddyfile"
        text = CADDY.format(http=http).replace("PORT", str(port)).replace("NAME", NAME)
        config.write_text(text)
        program(
            str(Path(sys.executable).parent / "caddy"), "run", "--adapter", "caddyfile",
            "--config", str(config),
        )(port)  # fmt: skip
        for _ in range(100):
            try:
                asking = socket.create_connection(("127.0.0.1", http))
            except OSError:
                time.sleep(0.1)
                continue
            asking.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            ASKING.append(asking)  # Caddy gives up with who asked
            return

    return start


def flight(start: Callable[[int], None]) -> list[bytes]:
    """The datagrams that the client started by `start(port)` sends before it repeats itself."""
    datagrams: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        start(server.getsockname()[1])
        until = float("inf")
        while time.monotonic() < until:
            try:
                datagrams.append(server.recv(65536))
            except TimeoutError:
                break
            if until == float("inf"):
                until = time.monotonic() + QUIET_SECONDS
            server.settimeout(max(0.001, min(QUIET_SECONDS, until - time.monotonic())))
    for process in RUNNING:
        process.terminate()
        process.wait()
    RUNNING.clear()
    return datagrams


def main() -> None:
    """Record every client, or those named on the command line."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("client", nargs="*")
    wanted = arguments.parse_args().client
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make_certificates(work, [NAME])
        chromium = [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", f"--user-data-dir={work / 'chromium'}"),
            "--host-resolver-rules=MAP NAME 127.0.0.1",
            "--origin-to-force-quic-on=NAME:PORT",
            "https://NAME:PORT/",
        ]
        # It asks for the host that it dials, so that must resolve here: in a mount namespace.
        hosts = work / "hosts"
        hosts.write_text(f"127.0.0.1 {NAME}\n")
        here = f'mount --bind {hosts} /etc/hosts && exec "$@"'
        gtls = ["unshare", "--mount", "sh", "-c", here, "sh", "gtlsclient", "-q"]
        clients: dict[str, Callable[[int], None]] = {
            "aioquic": aioquic(version=0x00000001),
            "aioquic-v2": aioquic(version=0x6B3343CF),
            "curl": program(sys.executable, "-c", CURL_CFFI, "PORT", "NAME"),
            "curl-as-chrome": program(sys.executable, "-c", CURL_CFFI, "PORT", "NAME", "chrome"),
            "ngtcp2": program(*gtls, "NAME", "PORT", "https://NAME:PORT/"),
            "ngtcp2-v2-draft": program(
                *gtls, "-v", "v2draft", "NAME", "PORT", "https://NAME:PORT/"
            ),
            "quic-go": caddy(work),
            "chromium": program(*chromium),
        }
        for client in wanted or clients:
            datagrams = flight(clients[client])
            framed = b"".join(len(one).to_bytes(2, "big") + one for one in datagrams)
            (DATA / f"{client}.bin").write_bytes(framed)
            print(f"{client}: {[len(one) for one in datagrams]}")


if __name__ == "__main__":
    main()

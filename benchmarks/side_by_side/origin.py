"""The upstreams on the load's core: nginx for HTTP, our own epoll server for TLS and posts."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .counters import CounterFile
from .process import LOAD_CORE, accepts, free_ports, spawn, stop, wait_until

SMALL_BODY = "A small page of thirty-six octets.\r\n"
LARGE_SIZE = 65536
CHUNKED_SIZE = 16384  # in chunks of 4 kB
LARGE, CHUNKED = "/large", "/chunked"

_CONFIG = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log {folder}/origin-error.log error;
pid {folder}/origin.pid;
events {{ worker_connections 19990; multi_accept on; }}
http {{
    access_log off;
    keepalive_timeout 300s;
    keepalive_requests 100000000;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16;
    client_body_temp_path {folder}/origin-body;
    proxy_temp_path {folder}/origin-proxy;
    fastcgi_temp_path {folder}/origin-fastcgi;
    uwsgi_temp_path {folder}/origin-uwsgi;
    scgi_temp_path {folder}/origin-scgi;
    server {{
        listen {host}:{port} backlog=8192 deferred;
        default_type text/plain;
        location / {{ return 200 "{body}"; }}
        location = /large {{ alias {folder}/large.bin; }}
        location = /chunked {{
            alias {folder}/chunked.txt;
            ssi on;
            ssi_types *;
            sendfile off;
            tcp_nopush off;
            output_buffers 4 4k;
        }}
    }}
    server {{
        listen {host}:{status_port};
        location / {{ stub_status; }}
    }}
}}
"""


@dataclass(slots=True)
class Origins:
    """The running upstreams and their counters."""

    http_port: int
    tls_port: int
    sink_port: int
    counters: CounterFile
    _status_port: int
    _children: list[subprocess.Popen[bytes]]
    _host: str = "127.0.0.1"
    _asked: int = 0

    def http_requests(self) -> int:
        """Requests that nginx has taken since its start, without those for this number."""
        with urllib.request.urlopen(f"http://{self._host}:{self._status_port}/") as answer:
            text = answer.read().decode()
        found = re.search(r"requests\s+(\d+)\s+(\d+)\s+(\d+)", text)
        assert found is not None
        self._asked += 1
        return int(found.group(3)) - self._asked

    def stop(self) -> None:
        """End both upstreams."""
        for child in self._children:
            stop(child)


def start(
    folder: Path, *, host: str = "127.0.0.1", http_port: int = 0, tls_port: int = 0
) -> Origins:
    """Run both upstreams on the load's core, on free ports where none are named.

    Raises BenchError when one does not come up.
    """
    free = free_ports(4)
    status_port, sink_port = free[:2]
    http_port, tls_port = http_port or free[2], tls_port or free[3]
    (folder / "large.bin").write_bytes(bytes(range(256)) * (LARGE_SIZE // 256))
    (folder / "chunked.txt").write_bytes(b"x" * CHUNKED_SIZE)
    config = folder / "origin.conf"
    config.write_text(
        _CONFIG.format(
            folder=folder, host=host, port=http_port, status_port=status_port, body=SMALL_BODY
        )
    )
    cores = {LOAD_CORE}
    nginx = spawn(
        ["nginx", "-c", str(config), "-p", str(folder)], cores=cores, log=folder / "origin.log"
    )
    counters = CounterFile(folder / "counters")
    module = [sys.executable, "-m", "benchmarks.side_by_side.upstream"]
    own = spawn(
        [*module, host, str(tls_port), str(sink_port), str(folder / "counters")],
        cores=cores,
        log=folder / "upstream.log",
    )
    wait_until(lambda: accepts(http_port, host), seconds=10, what="origin nginx", child=nginx)
    wait_until(lambda: accepts(sink_port, host), seconds=10, what="upstream", child=own)
    return Origins(http_port, tls_port, sink_port, counters, status_port, [nginx, own], host)

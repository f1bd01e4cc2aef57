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
        listen 127.0.0.1:{port} backlog=8192 deferred;
        default_type text/plain;
        location / {{ return 200 "{body}"; }}
        location = /large {{ alias {folder}/large.bin; }}
    }}
    server {{
        listen 127.0.0.1:{status_port};
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
    _asked: int = 0

    def http_requests(self) -> int:
        """Requests that nginx has taken since its start, without those for this number."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._status_port}/") as answer:
            text = answer.read().decode()
        found = re.search(r"requests\s+(\d+)\s+(\d+)\s+(\d+)", text)
        assert found is not None
        self._asked += 1
        return int(found.group(3)) - self._asked

    def stop(self) -> None:
        """End both upstreams."""
        for child in self._children:
            stop(child)


def start(folder: Path) -> Origins:
    """Run both upstreams on the load's core. Raises BenchError when one does not come up."""
    http_port, status_port, tls_port, sink_port = free_ports(4)
    (folder / "large.bin").write_bytes(bytes(range(256)) * (LARGE_SIZE // 256))
    config = folder / "origin.conf"
    config.write_text(
        _CONFIG.format(folder=folder, port=http_port, status_port=status_port, body=SMALL_BODY)
    )
    cores = {LOAD_CORE}
    nginx = spawn(
        ["nginx", "-c", str(config), "-p", str(folder)], cores=cores, log=folder / "origin.log"
    )
    counters = CounterFile(folder / "counters")
    module = [sys.executable, "-m", "benchmarks.side_by_side.upstream"]
    own = spawn(
        [*module, str(tls_port), str(sink_port), str(folder / "counters")],
        cores=cores,
        log=folder / "upstream.log",
    )
    wait_until(lambda: accepts(http_port), seconds=10, what="origin nginx", child=nginx)
    wait_until(lambda: accepts(sink_port), seconds=10, what="upstream", child=own)
    return Origins(http_port, tls_port, sink_port, counters, status_port, [nginx, own])

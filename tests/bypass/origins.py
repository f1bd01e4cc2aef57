"""Real origin servers that log, for every request that they understood, what they saw.

Each answers with `X-Seen: <its own view of the target>`, so that an answer given to the wrong
request shows.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.harness.ports import free_port
from tests.harness.tools import require
from tests.harness.waiting import wait_for


@dataclass(slots=True, frozen=True)
class Sighting:
    """One request as an origin understood it."""

    host: str
    target: str
    via: str
    forwarded_host: str


class RealOrigin:
    """One origin: a program of its own, or Python's http.server in a thread."""

    def __init__(
        self, name: str, port: int, log: Path, stop: Callable[[], None], separator: str = ""
    ) -> None:
        self.name = name
        self.address = f"127.0.0.1:{port}"
        self.host = f"for-{name}.com"
        self._log = log
        self._stop = stop
        self._separator = separator
        wait_for(lambda: _answers(port), f"{name} to listen; its folder is {log.parent}")

    def sightings(self) -> list[Sighting]:
        """Everything that it has logged."""
        lines = self._log.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        if self._separator:
            rows = [line.split(self._separator) for line in lines]
            # A request line that the server refused (400) before it had read any field.
            return [Sighting(*row[1:]) for row in rows if row[:2] != ["400", ""]]
        return [Sighting(**json.loads(line)) for line in lines]

    def close(self) -> None:
        self._stop()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _run(command: list[str], folder: Path, **environment: str) -> Callable[[], None]:
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=folder, env={**os.environ, **environment}
        )

    def stop() -> None:
        process.terminate()
        process.wait(10)

    return stop


def nginx(folder: Path) -> RealOrigin:
    port, log = free_port(), folder / "seen.log"
    fields = ("$status", "$http_host", "$request_uri", "$http_via", "$http_x_forwarded_host")
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 512; }}
        http {{
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi; client_max_body_size 0;
            log_format seen escape=none '{"|~|".join(fields)}';
            access_log {log} seen;
            server {{
                listen 127.0.0.1:{port} default_server; server_name _;
                ignore_invalid_headers off; underscores_in_headers on;
                add_header X-Seen $request_uri always;
                return 200 nginx;
            }}
        }}
        """
    )
    log.touch()
    stop = _run([require("nginx"), "-p", str(folder), "-c", "nginx.conf"], folder)
    return RealOrigin("nginx", port, log, stop, "|~|")


def apache(folder: Path) -> RealOrigin:
    port, log = free_port(), folder / "seen.log"
    fields = ("%s", "%{Host}i", "%U%q", "%{Via}i", "%{X-Forwarded-Host}i")
    modules = Path("/usr/lib/apache2/modules")
    wanted = ("mpm_event", "authz_core", "headers", "rewrite")
    (folder / "root").mkdir()
    (folder / "httpd.conf").write_text(
        "\n".join(
            [
                f'ServerRoot "{folder}"',
                *(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in wanted),
                f"Listen 127.0.0.1:{port}",
                "ServerName origin.invalid",
                f"PidFile {folder}/pid",
                f"ErrorLog {folder}/error.log",
                f'DocumentRoot "{folder}/root"',
                f'LogFormat "{"|~|".join(fields)}" seen',
                f"CustomLog {log} seen",
                "HttpProtocolOptions Unsafe",  # as lax as it can be made
                "AllowEncodedSlashes On",
                "MergeSlashes Off",
                "StartServers 1",
                'Header always set X-Seen "expr=%{THE_REQUEST}"',
                "RewriteEngine On",
                "RewriteRule .* - [R=204]",
            ]
        )
        + "\n"
    )
    log.touch()
    stop = _run([require("apache2"), "-f", f"{folder}/httpd.conf", "-DFOREGROUND"], folder)
    return RealOrigin("apache", port, log, stop, "|~|")


_NODE = """
const http = require('http'), fs = require('fs');
const out = fs.openSync(process.env.SEEN, 'a');
const server = http.createServer({ insecureHTTPParser: true }, (request, response) => {
  const h = request.headers;
  fs.writeSync(out, JSON.stringify({ host: h.host || '', target: request.url,
    via: h.via || '', forwarded_host: h['x-forwarded-host'] || '' }) + '\\n');
  request.resume();
  request.on('end', () => {
    response.setHeader('X-Seen', encodeURI(request.url));
    response.end('node');
  });
});
server.listen(Number(process.env.PORT), '127.0.0.1');
"""


def node(folder: Path) -> RealOrigin:
    port, log = free_port(), folder / "seen.log"
    (folder / "origin.js").write_text(_NODE)
    log.touch()
    stop = _run([require("node"), "origin.js"], folder, SEEN=str(log), PORT=str(port))
    return RealOrigin("node", port, log, stop)


_GO = """
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"sync"
)

func main() {
	out, err := os.OpenFile(os.Getenv("SEEN"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	var lock sync.Mutex
	handler := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		line, _ := json.Marshal(map[string]string{"host": r.Host, "target": r.RequestURI,
			"via": r.Header.Get("Via"), "forwarded_host": r.Header.Get("X-Forwarded-Host")})
		lock.Lock()
		out.Write(append(line, '\\n'))
		lock.Unlock()
		w.Header().Set("X-Seen", r.RequestURI)
		io.WriteString(w, "go")
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(handler)))
}
"""


def go(folder: Path) -> RealOrigin:
    port, log = free_port(), folder / "seen.log"
    (folder / "origin.go").write_text(_GO)
    subprocess.run(
        [require("go"), "build", "-o", "origin", "origin.go"],
        cwd=folder,
        check=True,
        timeout=120,
        env={**os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"},
    )
    log.touch()
    stop = _run([str(folder / "origin")], folder, SEEN=str(log), PORT=str(port))
    return RealOrigin("go", port, log, stop)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one segment
    seen: Path

    def _answer(self) -> None:
        headers = self.headers
        line = {
            "host": headers.get("Host", ""),
            "target": self.path,
            "via": headers.get("Via", ""),
            "forwarded_host": headers.get("X-Forwarded-Host", ""),
        }
        with self.seen.open("a", encoding="utf-8", errors="surrogateescape") as log:
            log.write(json.dumps(line) + "\n")
        if headers.get("Transfer-Encoding"):
            self.close_connection = True  # http.server reads no chunks
        else:
            self.rfile.read(int(headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("X-Seen", self.path)
        self.send_header("Content-Length", "6" if self.command != "HEAD" else "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"python")

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = do_PATCH = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was cut is no news here."""


def python(folder: Path) -> RealOrigin:
    log = folder / "seen.log"
    log.touch()
    handler = type("Handler", (_Handler,), {"seen": log})
    server = _Quiet(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return RealOrigin("python", server.server_address[1], log, stop)


ALL: tuple[Callable[[Path], RealOrigin], ...] = (nginx, apache, node, go, python)


def start_all(folder: Path) -> list[RealOrigin]:
    """Start every origin, each in a folder of its own."""
    started: list[RealOrigin] = []
    for start in ALL:
        own = folder / start.__name__
        own.mkdir()
        started.append(start(own))
    return started

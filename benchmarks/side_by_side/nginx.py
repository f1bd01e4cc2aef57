"""nginx 1.22 as a filing gate, in the best configuration that was found for it.

Suffix match: `map` with `hostnames`; an entry `.example.com` covers the name and all below it
and is kept in two hashes, so that a lookup costs a hash probe for each label. The hash sizes are
set to fit. The stream module reads the ClientHello (`ssl_preread`) and picks the upstream by the
map; for an unfiled name the map gives an upstream group without a usable server, the cheapest
refusal that it has (a FIN, one error record, which is below the log's level here).
Tunnels have 64 KiB buffers (bulk costs 0.55 s a GB for 0.67 with 16 KiB), bodies 128 KiB (a
posted MiB costs a third). Access logs are off; upstream connections are kept; bodies are
streamed. Time-outs are the gate's. By default nginx ends both sides of a tunnel with the first one
that ends, which saves it two system calls; `proxy_half_close` is on where a row says so.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .process import BenchError, accepts, spawn, wait_until
from .servers import NOTICE, Front, Running, Setup, Variant

_CONFIG = """
load_module {modules}/ngx_stream_module.so;
daemon off;
worker_processes {workers};
worker_rlimit_nofile 20000;
error_log {folder}/nginx-error.log crit;
pid {folder}/nginx.pid;
events {{
    worker_connections 19990;
    multi_accept on;
}}

stream {{
    map_hash_max_size {hash_size};
    map_hash_bucket_size 128;
    map $ssl_preread_server_name $target {{
        hostnames;
        default refused;
        include {folder}/nginx-stream.map;
    }}
    upstream filed {{ server {host}:{tls_upstream}; }}
    upstream refused {{ server 127.0.0.1:9 down; }}
    server {{
        listen {listen}:{tls_port} backlog=8192 {reuseport};
        ssl_preread on;
        preread_timeout 5s;
        proxy_connect_timeout 5s;
        proxy_timeout 1h;
        proxy_buffer_size 64k;
        proxy_half_close {half_close};
        proxy_pass $target;
        {source}
    }}
}}

http {{
    access_log off;
    server_tokens off;
    map_hash_max_size {hash_size};
    map_hash_bucket_size 128;
    map $host $filed {{
        hostnames;
        default "";
        include {folder}/nginx-http.map;
    }}
    upstream origin {{
        server {host}:{http_upstream};
        {kept}
    }}
    client_header_timeout 10s;
    keepalive_timeout {keepalive};
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_buffer_size 128k;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{
        listen {listen}:{http_port} backlog=8192 deferred {reuseport};
        location / {{
            if ($filed = "") {{
                add_header Cache-Control no-store always;
                return 302 {notice};
            }}
            proxy_pass http://origin;
            {source}
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffers 8 16k;
            proxy_buffer_size 16k;
            proxy_connect_timeout 5s;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            {forwarded}
        }}
    }}
}}
"""


_FORWARDED = """proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto http;
            proxy_set_header X-Forwarded-Host $http_host;"""
_KEPT = """keepalive 256;
        keepalive_requests 1000000;"""


def write_maps(folder: Path, names: Path) -> None:
    """Turn the list into the two map files."""
    listed = names.read_text(encoding="ascii").split()
    (folder / "nginx-stream.map").write_text("".join(f".{x} filed;\n" for x in listed))
    (folder / "nginx-http.map").write_text("".join(f".{x} 1;\n" for x in listed))


def _modules_path() -> str:
    """Where this nginx keeps its dynamic modules."""
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"--modules-path=(\S+)", built)
    return found.group(1) if found else "modules"


def start(setup: Setup) -> Running:
    """Run nginx in the foreground. Raises BenchError when it does not come up."""
    folder = setup.folder
    if setup.front not in (Front.DIALLED, Front.CLIENT):
        raise BenchError(f"nginx has no set-up {setup.front}")
    # Its kept connections are shared by all clients, whatever address each was made from.
    seen = setup.front is Front.CLIENT
    write_maps(folder, setup.names)
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            modules=_modules_path(),
            workers=setup.workers,
            folder=folder,
            hash_size=1 << max(14, (setup.size * 2).bit_length()),
            notice=NOTICE,
            reuseport="reuseport" if setup.workers > 1 else "",
            keepalive="0" if setup.variant is Variant.CLOSE else "60s",
            half_close="on" if setup.variant is Variant.HALF else "off",
            listen=setup.place.listen,
            host=setup.place.host,
            source="proxy_bind $remote_addr transparent;" if seen else "",
            kept="" if seen else _KEPT,
            forwarded="" if seen else _FORWARDED,
            http_port=setup.http_port,
            tls_port=setup.tls_port,
            http_upstream=setup.http_upstream,
            tls_upstream=setup.tls_upstream,
        ),
        encoding="utf-8",
    )
    child = spawn(
        ["nginx", "-c", str(config), "-p", str(folder)],
        cores=set(setup.cores),
        log=folder / "nginx.log",
    )
    running = Running("nginx", setup, child, 0.0)
    running.start_seconds = wait_until(
        lambda: len(running.pids()) > setup.workers and accepts(setup.http_port),
        seconds=180,
        what="nginx",
        child=child,
    )
    running.worker_pids = lambda: running.pids()[1:]
    return running


def change(running: Running, added: Iterable[str], removed: Iterable[str]) -> None:
    """Write the whole list again and reload: nginx has no other way to change a map."""
    gone = set(removed)
    names = running.setup.names
    kept = [x for x in names.read_text(encoding="ascii").split() if x not in gone]
    names.write_text("\n".join([*kept, *added]) + "\n", encoding="ascii")
    write_maps(running.setup.folder, names)
    assert running.child is not None
    running.child.send_signal(signal.SIGHUP)

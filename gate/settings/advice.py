"""Settings that are valid and yet hardly meant: warnings, not errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from gate.settings.listeners import Listener
from gate.settings.model import Settings
from gate.settings.routes_file import NOT_REGULAR, stray_routes
from gate.settings.sync import EMBEDDED


def advice(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each setting that the operator may want to look at again."""
    pool = settings.upstreams.default
    for kind, addresses, outcome in (
        ("http", pool.http, "502"),
        ("tls", pool.tls, "a reset"),
        ("quic", pool.quic or pool.tls, "a close"),
    ):
        if not addresses and any(
            listener.kind == kind and listener.transparent == "off"
            for listener in settings.listeners
        ):
            yield (
                f"upstreams.default.{kind} is empty: filed traffic that no route matches gets "
                f"{outcome}; name your origins"
            )
    if not settings.listeners:
        yield "listeners is empty: no traffic is taken; name the ports to listen on"
    public = [item.name for item in settings.listeners if not _is_loopback(item.address.host)]
    if public and _is_loopback(urlsplit(settings.notice.url).hostname or ""):
        yield (
            f"notice.url {settings.notice.url} is this machine only: visitors of {public[0]!r} "
            "from elsewhere cannot open it; set a public address"
        )
    if settings.policy.acme_http == "allow":
        yield (
            "policy.acme_http: allow lets sites without a filing answer "
            "/.well-known/acme-challenge/; block it again when their certificates are there"
        )
    sync = settings.sync
    if sync.registry == EMBEDDED:
        for name in ("push", "nats"):
            if getattr(sync, name) is not None:
                yield (
                    f"sync.{name} brings the changes of a registry elsewhere, and sync.registry is "
                    f"{sync.registry}: name that registry's URL"
                )
    yield from _strays(settings)
    for listener in settings.listeners:
        if _is_own(settings.notice.url, listener):
            yield (
                f"notice.url {settings.notice.url} is the listener {listener.name!r} itself: where "
                "the page's own host may not pass, the gate answers 403 and no page is shown; set "
                "the address of a page, such as notice.listen's"
            )


def _strays(settings: Settings) -> Iterator[str]:
    folder = settings.upstreams.routes_file
    if folder is not None:
        with contextlib.suppress(OSError):
            for file in stray_routes(folder):
                yield f"upstreams.routes_file: {file} has no routes in force: {NOT_REGULAR}"


def _is_own(url: str, listener: Listener) -> bool:
    """Return whether an http URL leads to a listener for HTTP, as far as its address tells."""
    parts = urlsplit(url)
    if parts.scheme != "http" or listener.kind != "http":
        return False
    host, mine = parts.hostname or "", listener.address
    if (parts.port or 80) != mine.port:
        return False
    return host == mine.host or (mine.host in ("0.0.0.0", "::") and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Settings that are valid and yet hardly meant: warnings, not errors."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from gate.settings.model import Settings


def advice(settings: Settings) -> Iterator[str]:
    """A sentence for each setting that the operator may want to look at again."""
    pool = settings.upstreams.default
    for kind, addresses, outcome in (
        ("http", pool.http, "502"),
        ("tls", pool.tls, "a reset"),
    ):
        if not addresses and any(listener.kind == kind for listener in settings.listeners):
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


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

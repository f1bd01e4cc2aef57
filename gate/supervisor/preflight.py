"""What the settings ask of this machine: files that are there and fit, users that exist.

One list of checks for a start, an upgrade and `gate config check`: so none passes what another
refuses. A `fault` stops a start. A `worry` does not, for the gate does its work without: it is
warned of at the start, and the part that wants the file asks for it again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from gate.net.tls import ClientContext, ServerContext, TlsError
from gate.settings import ClientTls, RegistrySettings, Settings
from gate.supervisor import privileges
from gate.supervisor.embedded import EmbeddedRegistry
from gate.supervisor.errors import CannotStart


def faults(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each thing without which the gate does not start."""
    admin = settings.admin.tls
    if admin is not None:
        yield from _server("admin.tls", admin.certificate, admin.key, admin.client_ca)
    try:
        privileges.identity(settings.process)
    except CannotStart as error:
        yield str(error)
    if EmbeddedRegistry.is_wanted(settings):
        yield from _registry_faults(settings.registry)


def worries(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each thing that is missing, or open to others, and stops no start."""
    admin, sync = settings.admin, settings.sync
    if admin.token is None and admin.token_file is not None:
        for fault in _secret("admin.token_file", admin.token_file):
            yield f"{fault}; nobody gets in with a token until it can"
    if admin.tls is None and not _is_loopback(admin.listen.host):
        yield (
            f"admin.listen {admin.listen} is plain HTTP beyond loopback: its token can be read on "
            "the way; set admin.tls"
        )
    if EmbeddedRegistry.is_wanted(settings):
        registry = settings.registry
        if registry.tls is None and not _is_loopback(registry.listen.host):
            yield (
                f"registry.listen {registry.listen} is plain HTTP beyond loopback: its tokens can "
                "be read on the way; set registry.tls"
            )
        return
    url = urlsplit(sync.registry)
    if url.scheme == "http" and not _is_loopback(url.hostname or ""):
        yield (
            f"sync.registry {sync.registry} is plain HTTP beyond loopback: the token can be read "
            "on the way; use https"
        )
    if sync.token_file is not None:
        yield from _secret("sync.token_file", sync.token_file)
    if sync.keys is not None and url.scheme:
        yield from _readable("sync.keys", sync.keys)
    yield from _client("sync.tls", sync.tls)
    if sync.push is not None and sync.push.tls is not None:
        files = sync.push.tls
        yield from _server("sync.push.tls", files.certificate, files.key, files.client_ca)
    if sync.nats is not None:
        yield from _client("sync.nats.tls", sync.nats.tls)
        if sync.nats.credentials is not None:
            yield from _readable("sync.nats.credentials", sync.nats.credentials)


def _registry_faults(settings: RegistrySettings) -> Iterator[str]:
    if settings.tls is not None:
        files = settings.tls
        yield from _server("registry.tls", files.certificate, files.key, files.client_ca)
    yield from _client("registry.push_tls", settings.push_tls)
    if settings.nats is not None:
        yield from _client("registry.nats.tls", settings.nats.tls)
    orders = settings.orders
    notices = orders.notices
    if notices.webhook is not None and "webhook" in notices.channels:
        key = "registry.orders.notices.webhook.secret_file"
        yield from _secret(key, notices.webhook.secret_file)
    if notices.smtp is not None and "smtp" in notices.channels and notices.smtp.password_file:
        yield from _secret("registry.orders.notices.smtp.password_file", notices.smtp.password_file)
    if orders.calendar is not None or orders.rules.provinces is not None:
        from gate.registry.errors import RegistryError
        from gate.registry.orders.provider_terms import OrderPolicy

        try:
            OrderPolicy.of(orders)
        except RegistryError as error:
            yield f"registry.orders: {error}"


def _server(key: str, certificate: Path, private: Path, client_ca: Path | None) -> Iterator[str]:
    try:
        ServerContext(certificate, private, client_ca)
    except TlsError as error:
        yield f"{key}: {error}"


def _client(key: str, tls: ClientTls | None) -> Iterator[str]:
    try:
        if tls is not None:
            ClientContext(tls)
    except TlsError as error:
        yield f"{key}: {error}"


def _readable(key: str, path: Path) -> Iterator[str]:
    try:
        path.read_bytes()
    except OSError as error:
        yield f"{key}: {path} cannot be read: {error.strerror}"


def _secret(key: str, path: Path) -> Iterator[str]:
    try:
        if not path.read_text(encoding="utf-8").strip():
            yield f"{key}: {path} is empty; `openssl rand -hex 32` makes a secret"
    except OSError as error:
        yield f"{key}: {path} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        yield f"{key}: {path} is no text; `openssl rand -hex 32` makes a secret"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Who may ask what of the admin port.

Changes need the bearer token or a client certificate. Reading needs neither from the places that
`admin.open_reads` names. A browser on the gate's machine is such a place, and so any website that
it has open: a name of that website's which leads to 127.0.0.1 is told apart by the Host field,
which must then be an address or localhost.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import ssl
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from gate.control.api.problems import Refusal
from gate.settings import Admin

_log = logging.getLogger(__name__)


class Access(Enum):
    """What a request needs to be allowed to do."""

    READ = auto()
    WRITE = auto()


@dataclass(slots=True, frozen=True)
class Caller:
    """Who asks: `actor` is what they proved, `peer` the address that they ask from."""

    actor: str
    peer: str


class Guard:
    """Lets requests in by token, certificate or place."""

    def __init__(self, settings: Admin, token_path: Path) -> None:
        """`token_path` has the token, where the settings do not."""
        self._settings = settings
        self._path = token_path

    def prepare(self) -> None:
        """Make a token, if the settings name none and there is none yet. Raises OSError."""
        if self._settings.token is not None or self._settings.token_file is not None:
            return
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with open(os.open(self._path, flags, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32) + "\n")
        except FileExistsError:
            return

    def admit(self, request: web.Request, *, writes: bool) -> Caller:
        """Return who sends a request. Raises Refusal for one who may not."""
        peer = _unmapped(request.remote or "")
        certificate = _certificate(request)
        if certificate:
            return Caller(f"certificate {certificate}", peer)
        given = request.headers.get("Authorization")
        if given is not None:
            self._check(given, peer)
            return Caller("token", peer)
        if not writes and self._is_open(request):
            return Caller("anybody", peer)
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            "token_missing",
            "this needs the admin token, as `Authorization: Bearer TOKEN`; it is in "
            f"{self._place()} on the gate's machine",
        )

    def _is_open(self, request: web.Request) -> bool:
        match self._settings.open_reads:
            case "everywhere":
                return True
            case "loopback":
                # Not `request.host`: without the field, that waits for the name service.
                host = request.headers.get("Host", "")
                return _is_loopback(request.remote or "") and _is_host_of_nobody(host)
            case _:
                return False

    def _check(self, given: str, peer: str) -> None:
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            _digest(token.strip()), _digest(self._token())
        ):
            _log.warning("a wrong token was shown from %s", peer)
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "token_invalid",
                f"the token is not the one in {self._place()}",
            )

    def _token(self) -> str:
        if self._settings.token is not None:
            return self._settings.token
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "token_unknown",
                f"the token file {self._path} cannot be read: {error}; nobody gets in with a "
                "token until it can",
            ) from error
        if not token:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "token_unknown",
                f"the token file {self._path} is empty; `openssl rand -hex 32` makes a token",
            )
        return token

    def _place(self) -> str:
        return "admin.token of the settings" if self._settings.token else str(self._path)


def _digest(token: str) -> bytes:
    """Of one length for all, so that comparing tells nothing of the token's."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _certificate(request: web.Request) -> str:
    """Return the common name, or number, of the client's certificate.

    "" if TLS has verified none.
    """
    transport = request.transport
    if transport is None or transport.get_extra_info("ssl_object") is None:
        return ""
    tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
    if tls.context.verify_mode != ssl.CERT_REQUIRED:
        return ""
    der = tls.getpeercert(binary_form=True)
    if der is None:
        return ""
    # They take long to load, and most settings name no certificate.
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    certificate = x509.load_der_x509_certificate(der)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else f"number {certificate.serial_number:x}"


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(_unmapped(address)).is_loopback
    except ValueError:
        return False


def _unmapped(address: str) -> str:
    """Return the IPv4 address of a client that a socket for IPv6 calls ::ffff:a.b.c.d.

    RFC 4291 2.5.5.2; any other text comes back as it is.
    """
    try:
        mapped = getattr(ip_address(address), "ipv4_mapped", None)
    except ValueError:
        return address
    return address if mapped is None else str(mapped)


def _is_host_of_nobody(authority: str) -> bool:
    """Is the Host an address or localhost, which no website's name can be made to stand for?"""
    try:
        host = urlsplit(f"//{authority}").hostname or ""
        ip_address(host)
    except ValueError:
        return authority.partition(":")[0].lower() == "localhost"
    return True

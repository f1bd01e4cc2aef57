"""What a request tells its origin about who is in front of the gate.

That is X-Forwarded-For, -Proto, -Host and -Port, Forwarded (RFC 7239), and Via (RFC 9110 7.6.3).

A gate in front of other people's hosts changes as little as it can. By default the client's
address is appended to X-Forwarded-For, and to Forwarded where the request has it (an origin that
finds Forwarded may look at nothing else, so none is added); the other fields are set only where
they are absent, for a CDN in front of the gate may have said that its client spoke https. Where
nobody in front is to be believed, all of them are replaced, and with them those that origins take
a client's address from. Via is left alone unless it is asked for: nginx compresses nothing for a
request that has it.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from ipaddress import IPv6Address, ip_address
from typing import Final

from gate.wire.http1.grammar import TCHAR
from gate.wire.http1.message import HTTP_0_9, NO_CLAIMS, PSEUDONYM, Claims, RequestHead
from gate.wire.http1.special import special_fields


class Forwarding(Enum):
    """What becomes of the fields that name the client."""

    APPEND = "append"
    """The address is appended; the rest is set where it is absent."""
    REPLACE = "replace"
    """All of them are the gate's own, whatever the client sent."""
    OFF = "off"
    """Nothing is added or changed."""


# Fields that the gate reads, replaces or drops in any case. Underscore forms are here because CGI,
# WSGI and PHP origins cannot tell `X_Forwarded_For` from `X-Forwarded-For`.
_ALWAYS: Final = (
    rb"host connection content[-_]length transfer[-_]encoding upgrade expect te keep-alive "
    rb"proxy-connection proxy-authenticate proxy-authorization http2-settings"
)
_CLIENT: Final = {
    Forwarding.APPEND: rb" forwarded x[-_]forwarded[-_](?:for|proto|host|port)",
    Forwarding.REPLACE: rb" forwarded x[-_]forwarded[-_]" + TCHAR + rb"*+"
    rb" x[-_]real[-_]ip client[-_]ip true[-_]client[-_]ip",
    Forwarding.OFF: b"",
}
_VIA: Final = {
    1: b"1.1 " + PSEUDONYM,
    0: b"1.0 " + PSEUDONYM,
    HTTP_0_9: b"0.9 " + PSEUDONYM,
}
_PORTS: Final = {b"http": b"80", b"https": b"443"}
_PORT: Final = re.compile(rb":([0-9]++)$").search


@dataclass(frozen=True)
class ForwardingRules:
    """How requests tell of who is in front. `via` has the gate name itself in Via."""

    forwarding: Forwarding = Forwarding.APPEND
    via: bool = False

    @cached_property
    def special(self) -> re.Pattern[bytes]:
        """The field lines that are not passed on untouched; see special.py."""
        return special_fields(_ALWAYS + _CLIENT[self.forwarding] + (b" via" if self.via else b""))

    @cached_property
    def adds(self) -> bool:
        """Whether the client's address is told."""
        return self.forwarding is not Forwarding.OFF

    def claims(self, values: dict[bytes, bytes]) -> tuple[Claims, bytes]:
        """Return what the special fields claim, and the lines of it that go on as they came."""
        if self.forwarding is not Forwarding.APPEND:
            return NO_CLAIMS, b""
        claims = Claims(
            values.get(b"x-forwarded-for", b""),
            values.get(b"forwarded", b""),
            values.get(b"x-forwarded-proto", b""),
            values.get(b"x-forwarded-host", b""),
            values.get(b"x-forwarded-port", b""),
        )
        kept = b"".join(
            b"\r\nX-Forwarded-%b: %b" % (name, value)
            for name, value in (
                (b"Proto", claims.proto),
                (b"Host", claims.host),
                (b"Port", claims.port),
            )
            if value
        )
        return claims, kept

    def opening(self, claims: Claims, via: bytes, minor: int) -> bytes:
        """Return the fields up to where the client's address goes.

        `via` is the client's own, `minor` its version of HTTP.
        """
        out = b""
        if self.via:
            out = b"Via: %b%b%b\r\n" % (via, b", " if via else b"", _VIA[minor])
        if self.adds:
            out += b"X-Forwarded-For: "
            if claims.address:
                out += claims.address + b", "
        return out

    def closing(self, claims: Claims, host: bytes) -> bytes:
        """Return what follows the client's address, to the end of the head.

        `host` is the authority that goes upstream.
        """
        if not self.adds:
            return b"\r\n"
        proto = claims.proto or b"http"
        out = b"\r\n"
        if not claims.proto:
            out += b"X-Forwarded-Proto: http\r\n"
        if host and not claims.host:
            out += b"X-Forwarded-Host: %b\r\n" % host
        if not claims.port:
            found = _PORT(host)
            port = found[1] if found else _PORTS.get(proto.lower(), b"80")
            out += b"X-Forwarded-Port: %b\r\n" % port
        return out + b"\r\n"

    def client(self, address: str) -> "ForwardedClient":
        """Return what one client's connection adds to each of its requests, made once."""
        fields = address.encode("ascii") if self.adds else b""
        if self.forwarding is Forwarding.REPLACE:
            fields += (
                b"\r\nX-Real-IP: %b\r\nClient-IP: %b\r\nTrue-Client-IP: %b"
                b"\r\nForwarded: for=%b;proto=http" % (fields, fields, fields, _node(address))
            )
        return ForwardedClient(self, address, fields)


DEFAULT_RULES: Final = ForwardingRules()


class ForwardedClient:
    """A client's address: `fields` is as X-Forwarded-For has it, with what follows."""

    __slots__ = ("_address", "_rules", "fields")

    def __init__(self, rules: ForwardingRules, address: str, fields: bytes) -> None:
        self._rules = rules
        self._address = address
        self.fields = fields

    @property
    def node(self) -> bytes:
        """The address, as Forwarded has it."""
        return _node(self._address)

    def closing(self, head: RequestHead, host: bytes) -> bytes:
        """Return what follows the address in a request's head, to its end.

        `host` is the authority that goes upstream, if that is not the one which came.
        """
        closing = head.closing if host is head.host else self._rules.closing(head.claims, host)
        if head.claims.forwarded:
            return b"\r\nForwarded: %b, for=%b%b" % (head.claims.forwarded, self.node, closing)
        return closing


def _node(address: str) -> bytes:
    """Return an address as a node of Forwarded (RFC 7239 6), "unknown" for what is none."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return b"unknown"
    if isinstance(ip, IPv6Address):
        return b'"[%b]"' % str(ip).encode("ascii")
    return str(ip).encode("ascii")

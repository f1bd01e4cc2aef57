"""The request line in all its forms (RFC 9112 3).

request.py reads the common form, `METHOD /path HTTP/1.x`, by itself; this module
takes every other line: the other target forms, other versions, and refusals.
"""

from dataclasses import dataclass

from gate.wire.http1.authority import check_authority
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.grammar import ABSOLUTE, ANY_LINE, TOKEN
from gate.wire.http1.message import HTTP_0_9

_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}


@dataclass(slots=True, eq=False)
class RequestLine:
    """One request line, the target reduced to origin form or `*`."""

    method: bytes
    target: bytes
    minor: int
    authority: bytes | None = None
    """Authority of an absolute-form target."""
    scheme: bytes = b"http"


def parse_request_line(line: bytes) -> RequestLine:
    """Parse one line without its CRLF.

    Raises BadMessage: 400 for bad syntax, 405 for CONNECT and TRACE, 505 for
    other versions than HTTP/1.x and 0.9.
    """
    found = ANY_LINE.fullmatch(line)
    if found is None:
        raise BadMessage(400, _what_is_wrong(line))
    method, target = found["method"], found["target"]
    if found["major"] is None:
        if method != b"GET" or not target.startswith(b"/"):
            raise BadMessage(400, f"request line has no HTTP version: {line[:80]!r}")
        return RequestLine(method, target, HTTP_0_9)
    version = b".".join((found["major"], found["minor"]))
    if version == b"2.0" and method == b"PRI":
        raise BadMessage(505, "HTTP/2 with prior knowledge is not spoken here: use HTTP/1.1")
    if found["major"] != b"1":
        raise BadMessage(505, f"HTTP version {version.decode()} is not HTTP/1.0 or 1.1")
    if method in (b"CONNECT", b"TRACE"):
        raise BadMessage(405, f"method {method.decode()} is not allowed")
    minor = 0 if version == b"1.0" else 1  # RFC 9110 2.5: a higher one is read like 1.1
    if target.startswith(b"/"):
        return RequestLine(method, target, minor)
    if target == b"*":
        if method != b"OPTIONS":
            raise BadMessage(400, "target * is for OPTIONS only")
        return RequestLine(method, target, minor)
    return _absolute(method, target, minor)


def _absolute(method: bytes, target: bytes, minor: int) -> RequestLine:
    found = ABSOLUTE.fullmatch(target)
    if found is None:
        raise BadMessage(400, f"target is neither a path nor an http URL: {target[:80]!r}")
    scheme, authority, rest = found[1].lower(), found[2], found[3]
    check_authority(authority, "authority of the target")
    if not rest.startswith(b"/"):
        # RFC 9112 3.2.1 and 3.2.4: an empty path is "/", or "*" for OPTIONS.
        rest = b"*" if not rest and method == b"OPTIONS" else b"/" + rest
    return RequestLine(method, rest, minor, authority, scheme)


def same_authority(host: bytes, authority: bytes, scheme: bytes) -> bool:
    """Return whether both name the same host and port; an absent port is the scheme's."""
    return _with_port(host, scheme) == _with_port(authority, scheme)


def _with_port(authority: bytes, scheme: bytes) -> tuple[bytes, bytes]:
    host, _, port = authority.rpartition(b":")
    if not host or host.startswith(b"[") != host.endswith(b"]"):
        host, port = authority, b""
    return host.lower(), port.lstrip(b"0") or _DEFAULT_PORTS[scheme]


def _what_is_wrong(line: bytes) -> str:
    parts = line.split(b" ")
    if not TOKEN.fullmatch(parts[0]):
        return f"request line does not start with a method: {line[:40]!r}"
    if len(parts) < 2 or b"" in parts:
        return f"request line is not METHOD target HTTP/1.1: {line[:80]!r}"
    if len(parts) > 3:
        return f"request line has spaces in its target: {line[:80]!r}"
    if b"#" in parts[1]:
        return f"target has a fragment: {parts[1][:80]!r}"
    if len(parts) == 3 and not parts[2].startswith(b"HTTP/"):
        return f"request line has no HTTP version: {line[:80]!r}"
    return f"request line is malformed: {line[:80]!r}"

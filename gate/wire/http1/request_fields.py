"""The header block of a request: checked, sorted, made ready to be sent on.

One expression over the whole block checks the grammar; a second one cuts the block
at the few fields that mean something to the gate, so that what lies between goes on
untouched, and is never looked at line by line.
"""

import re
from dataclasses import dataclass

from gate.wire.http1.authority import check_authority
from gate.wire.http1.connection import connection_options, without_listed
from gate.wire.http1.diagnosis import what_is_wrong
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.grammar import DIGITS, HEADER_BLOCK, TCHAR
from gate.wire.http1.message import HTTP_0_9, Framing

# Fields that the gate reads, replaces or drops. The underscore forms are here because
# CGI, WSGI and PHP origins cannot tell `X_Forwarded_For` from `X-Forwarded-For`.
_SPECIAL = re.compile(
    rb"\r\n((?i:host|connection|content[-_]length|transfer[-_]encoding|upgrade|expect|te|via"
    rb"|keep-alive|proxy-connection|proxy-authenticate|proxy-authorization|http2-settings"
    rb"|forwarded|x[-_]forwarded[-_]" + TCHAR + rb"*+)):[ \t]*+([^\r]*+)"
)
# RFC 9110 8.6: no limit, but what counts in 64 bits is enough for everybody.
MAX_LENGTH = 2**63 - 1

PSEUDONYM = b"gate"


@dataclass(slots=True, eq=False)
class RequestFields:
    """What a request's header block says, whatever its request line."""

    host: bytes | None = None
    """Value of Host; empty if the field is."""
    fields: bytes = b""
    framing: Framing = Framing.NONE
    length: int = 0
    keep_alive: bool = True
    keep_alive_1_0: bool = False
    expect_continue: bool = False
    upgrade: bytes = b""
    te_trailers: bool = False
    forwarded_for: bytes = b""
    via: bytes = b""
    plain: bool = False
    """An HTTP/1.1 origin-form request may take everything as it is."""
    onward: bytes = b""


def parse_request_fields(block: bytes, max_fields: int) -> RequestFields:
    """Parses a header block (see grammar.py for its shape).

    Raises BadMessage: 400 for bad syntax or framing, 417 for an unknown
    expectation, 431 for too many fields, 501 for an unknown transfer coding.
    """
    if HEADER_BLOCK.fullmatch(block) is None:
        raise BadMessage(400, what_is_wrong(block))
    if block.count(b"\r\n") > max_fields:
        raise BadMessage(431, f"more than {max_fields} header fields")
    parts = _SPECIAL.split(block)
    values: dict[bytes, bytes] = {}
    for index in range(1, len(parts), 3):
        name = parts[index].lower()
        value = parts[index + 1].rstrip(b" \t")
        if name in values:
            if name in _ONCE:
                raise BadMessage(400, f"{_title(name)} is given twice")
            value = values[name] + b", " + value if values[name] else value
        values[name] = value
    result = RequestFields()
    rest = b"".join(parts[::3]) if len(parts) > 1 else block
    host = values.get(b"host")
    if host:
        check_authority(host, "Host field")
    result.host = host
    options: frozenset[bytes] = frozenset()
    connection = values.get(b"connection")
    if connection is not None and connection != b"keep-alive":
        options = connection_options(connection, 400)
        rest = without_listed(rest, options)
        result.keep_alive = b"close" not in options
        result.keep_alive_1_0 = b"keep-alive" in options and result.keep_alive
    else:
        result.keep_alive_1_0 = connection is not None
    result.fields = rest[2:] + b"\r\n" if rest else b""
    if len(values) > 1 or host is None:
        _read_framing(result, values)
        result.te_trailers = _accepts_trailers(values.get(b"te", b""))
        _read_expect(result, values.get(b"expect"))
        if b"upgrade" in options:
            result.upgrade = _acceptable_upgrade(values.get(b"upgrade", b""))
        result.forwarded_for = values.get(b"x-forwarded-for", b"")
        result.via = values.get(b"via", b"")
    result.plain = bool(host) and not result.upgrade
    result.onward = onward_fields(result, 1, result.expect_continue, b"")
    return result


_VERSIONS = {1: b"1.1", 0: b"1.0", HTTP_0_9: b"0.9"}
_ONCE = frozenset({b"host", b"content-length", b"content_length", b"transfer_encoding"})


def _title(name: bytes) -> str:
    return name.decode().title()


def _read_framing(result: RequestFields, values: dict[bytes, bytes]) -> None:
    """Framing of the body (RFC 9112 6.3), with no second opinion possible."""
    for confusable in (b"content_length", b"transfer_encoding"):
        if confusable in values:
            raise BadMessage(400, f"field {confusable.decode()} imitates a framing field")
    length = values.get(b"content-length")
    coding = values.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadMessage(400, "Content-Length with Transfer-Encoding (RFC 9112 6.3)")
        if coding.lower() != b"chunked":
            status = 501 if coding.lower().endswith(b", chunked") else 400
            raise BadMessage(status, f"Transfer-Encoding is not chunked alone: {coding[:80]!r}")
        result.framing = Framing.CHUNKED
    elif length is not None:
        if DIGITS.fullmatch(length) is None or int(length) > MAX_LENGTH:
            raise BadMessage(400, f"Content-Length is not a number below 2**63: {length[:80]!r}")
        result.framing = Framing.LENGTH
        result.length = int(length)


def _accepts_trailers(te: bytes) -> bool:
    return any(coding.strip(b" \t").lower() == b"trailers" for coding in te.split(b","))


def _read_expect(result: RequestFields, expect: bytes | None) -> None:
    if expect is None:
        return
    if expect.lower() != b"100-continue":
        raise BadMessage(417, f"expectation {expect[:80]!r} cannot be met")
    # RFC 9110 10.1.1: without a body there is nothing to wait for.
    result.expect_continue = result.framing is Framing.CHUNKED or result.length > 0


def _acceptable_upgrade(upgrade: bytes) -> bytes:
    """websocket if it is among the protocols offered (RFC 9110 7.8).

    Any other, h2c above all, would open a way in that the gate does not read.
    """
    offered = {protocol.strip(b" \t").lower() for protocol in upgrade.split(b",")}
    return b"websocket" if b"websocket" in offered else b""


def onward_fields(entry: RequestFields, minor: int, expect: bool, upgrade: bytes) -> bytes:
    """The part of the upstream's head between Host and the client's address.

    Ends inside X-Forwarded-For, after what the client's own value was.
    """
    parts = [entry.fields]
    if entry.framing is Framing.LENGTH:
        parts.append(b"Content-Length: %d\r\n" % entry.length)
    elif entry.framing is Framing.CHUNKED:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    if expect:
        parts.append(b"Expect: 100-continue\r\n")
    if upgrade:
        parts.append(b"Connection: upgrade\r\nUpgrade: %b\r\n" % upgrade)
    elif entry.te_trailers:
        parts.append(b"TE: trailers\r\nConnection: TE\r\n")
    chain = entry.via + b", " if entry.via else b""
    parts.append(b"Via: %b%b %b\r\nX-Forwarded-For: " % (chain, _VERSIONS[minor], PSEUDONYM))
    if entry.forwarded_for:
        parts.append(entry.forwarded_for + b", ")
    return b"".join(parts)

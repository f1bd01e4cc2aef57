"""The header block of a request: checked, sorted, made ready to be sent on.

One expression over the whole block checks the grammar; a second one cuts the block
at the few fields that mean something to the gate, so that what lies between goes on
untouched, and is never looked at line by line.
"""

import re
from dataclasses import dataclass

from gate.wire.http1.authority import check_authority
from gate.wire.http1.connection import (
    authenticates,
    check_request_options,
    connection_options,
    without_listed,
)
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.forwarding import ForwardingRules
from gate.wire.http1.grammar import DIGITS, MAX_LENGTH
from gate.wire.http1.message import NO_CLAIMS, Claims, Framing
from gate.wire.http1.special import take_out

_NONE, _LENGTH, _CHUNKED, _ = Framing


@dataclass(slots=True, eq=False)
class RequestFields:
    """What a request's header block says, whatever its request line."""

    host: bytes | None = None
    """Value of Host; empty if the field is."""
    onward: bytes = b""
    """See RequestHead; for HTTP/1.1 without an upgrade."""
    fields_size: int = 0
    plain: bool = False
    """An HTTP/1.1 request in origin form can take all values as they are."""
    keep_alive: bool = True
    keep_alive_1_0: bool = False
    framing: Framing = _NONE
    length: int = 0
    expect_continue: bool = False
    expectations: bytes = b""
    """Of Expect, all but 100-continue."""
    upgrade: bytes = b""
    te_trailers: bool = False
    claims: Claims = NO_CLAIMS
    via: bytes = b""
    """The client's own, where the gate adds itself to it; else it is one of the fields."""
    closing: bytes = b""
    """See RequestHead; for the Host of the block."""
    authenticates: bool = False


def parse_request_fields(found: re.Match[bytes], rules: ForwardingRules) -> RequestFields:
    """Return what a header block says; `found` is its match with request_block of grammar.py.

    Raises BadMessage: 400 for bad values or framing, 501 for an unknown transfer coding.
    """
    host, kept_alive, block = found.groups()
    values, rest = take_out(rules.special, block)
    if not values:
        onward = (rest[2:] + b"\r\n" if rest else b"") + rules.opening(NO_CLAIMS, b"", 1)
        result = RequestFields(host, onward, len(rest), host is not None, True, bool(kept_alive))
        result.closing = rules.closing(NO_CLAIMS, host or b"")
        result.authenticates = authenticates(rest)
        return result
    if b"host" in values:
        if host is not None:
            raise BadMessage(400, "Host is given twice")
        host = values.pop(b"host")
        if host:
            check_authority(host, "Host field")
    result = RequestFields(host)
    result.keep_alive_1_0 = bool(kept_alive)
    connection = values.pop(b"connection", None)
    if connection is not None:
        rest = _read_connection(result, connection.lower(), values, rest)
    result.plain = bool(host) and not result.upgrade
    if values:
        _read_framing(result, values)
        if b"te" in values:
            result.te_trailers = _accepts_trailers(values[b"te"])
        if b"expect" in values:
            _read_expect(result, values[b"expect"])
        result.claims, kept = rules.claims(values)
        result.via = values.get(b"via", b"")
        rest += kept
    result.fields_size = len(rest)
    result.onward = rest[2:] + b"\r\n" if rest else b""
    result.onward = onward_fields(result, rules, 1, result.expect_continue, b"")
    result.closing = rules.closing(result.claims, host or b"")
    result.authenticates = authenticates(rest)
    return result


def _read_connection(
    result: RequestFields, connection: bytes, values: dict[bytes, bytes], rest: bytes
) -> bytes:
    """Take in the Connection options; returns `rest` without the fields they name."""
    if connection == b"keep-alive":
        result.keep_alive_1_0 = True
        return rest
    if connection == b"close":
        result.keep_alive = result.keep_alive_1_0 = False
        return rest
    options = connection_options(connection)
    check_request_options(options)
    if b"close" in options:
        result.keep_alive = result.keep_alive_1_0 = False
    elif b"keep-alive" in options:
        result.keep_alive_1_0 = True
    if b"upgrade" in options:
        result.upgrade = _acceptable_upgrade(values.get(b"upgrade", b""))
    return without_listed(rest, options)


def _read_framing(result: RequestFields, values: dict[bytes, bytes]) -> None:
    """Framing of the body (RFC 9112 6.3), with no second opinion possible."""
    if b"content_length" in values or b"transfer_encoding" in values:
        raise BadMessage(400, "content_length or transfer_encoding imitates a framing field")
    length = values.get(b"content-length")
    coding = values.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadMessage(400, "Content-Length with Transfer-Encoding (RFC 9112 6.3)")
        if coding.lower() != b"chunked":
            # RFC 9112 6.1: 501 for a coding that is not known, if the framing is sound.
            others, _, last = coding.lower().rpartition(b", ")
            status = 501 if last == b"chunked" and b"chunked" not in others else 400
            raise BadMessage(status, f"Transfer-Encoding is not chunked alone: {coding[:80]!r}")
        result.framing = _CHUNKED
    elif length is not None:
        if DIGITS.fullmatch(length) is None or (size := int(length)) > MAX_LENGTH:
            raise BadMessage(400, f"Content-Length is not a number below 2**63: {length[:80]!r}")
        result.framing = _LENGTH
        result.length = size


def _accepts_trailers(te: bytes) -> bool:
    return any(coding.strip(b" \t").lower() == b"trailers" for coding in te.split(b","))


def _read_expect(result: RequestFields, expect: bytes) -> None:
    """RFC 9110 10.1.1. What the origin cannot meet, it answers with 417 itself."""
    waits = expect.lower() == b"100-continue"
    if not waits:
        members = expect.split(b",")
        others = [text for text in members if text.strip(b" \t").lower() != b"100-continue"]
        waits = len(others) < len(members)
        result.expectations = b",".join(others).strip(b", \t")
    # Without a body there is nothing to wait for.
    result.expect_continue = waits and (result.framing is _CHUNKED or result.length > 0)


def _acceptable_upgrade(upgrade: bytes) -> bytes:
    """websocket if it is among the protocols offered (RFC 9110 7.8).

    Any other, h2c above all, would open a way in that the gate does not read.
    """
    offered = {protocol.strip(b" \t").lower() for protocol in upgrade.split(b",")}
    return b"websocket" if b"websocket" in offered else b""


def onward_fields(
    entry: RequestFields, rules: ForwardingRules, minor: int, expect: bool, upgrade: bytes
) -> bytes:
    """Return the part of the upstream's head between Host and the client's address."""
    onward = entry.onward[: entry.fields_size]
    if entry.framing is _LENGTH:
        onward += b"Content-Length: %d\r\n" % entry.length
    elif entry.framing is _CHUNKED:
        onward += b"Transfer-Encoding: chunked\r\n"
    if expect and entry.expectations:
        onward += b"Expect: 100-continue, %b\r\n" % entry.expectations
    elif expect:
        onward += b"Expect: 100-continue\r\n"
    elif entry.expectations:
        onward += b"Expect: %b\r\n" % entry.expectations
    if upgrade:
        onward += b"Connection: upgrade\r\nUpgrade: %b\r\n" % upgrade
    elif entry.te_trailers:
        onward += b"TE: trailers\r\nConnection: TE\r\n"
    return onward + rules.opening(entry.claims, entry.via, minor)

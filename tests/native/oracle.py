"""What native takes, the Python parsers must read alike.

Each function gives one input to both and returns whether native took it; a difference is an
AssertionError. What native declines is the Python parser's, whatever it says. Where nothing was
compiled, nothing is taken.
"""

from __future__ import annotations

from itertools import product

try:
    from gate.native import body, hello, request_head, response_head
    from gate.proxy.native_templates import onward_of
except ImportError:
    COMPILED = False
else:
    COMPILED = True
from gate.proxy.native import odd_chunks
from gate.wire.http1 import (
    RESPONSE_CHUNKS,
    BadMessage,
    ChunkedBody,
    Forwarding,
    ForwardingRules,
    Framing,
    RequestParser,
    ResponseParser,
    accepted,
    serialise_request,
    shows_pages,
)
from gate.wire.tls import BadHello, parse_client_hello

# A remembered block would hide what the parser says to this one.
_RULES = [ForwardingRules(*rules) for rules in product(Forwarding, (False, True))]
_requests = [RequestParser(memo_bytes=0, rules=rules) for rules in _RULES]
_onwards = [onward_of(parser) for parser in _requests] if COMPILED else []
_CLIENTS = ("192.0.2.7", "2001:db8::7")
_responses = ResponseParser(memo_bytes=0)


def same_hello(data: bytes) -> bool:
    """A ClientHello."""
    taken = hello.read(data) if COMPILED else None
    if taken is None:
        return False
    try:
        read = parse_client_hello(data)
    except BadHello as error:
        raise AssertionError(f"taken, and refused by Python: {error}") from error
    assert read is not None, "taken, and not complete for Python"
    assert taken == (read.sni, read.ech)
    return True


def same_request(data: bytes) -> bool:
    """A request head by the usual rules, and by others; and what an upstream is sent for it."""
    _same_request(data, 1 + len(data) % (len(_RULES) - 1))
    return _same_request(data, 0)


def _same_request(data: bytes, which: int) -> bool:
    rules, parser = _RULES[which], _requests[which]
    forwarding = list(Forwarding).index(rules.forwarding)
    taken = request_head.read(data, forwarding=forwarding, via=rules.via) if COMPILED else None
    if taken is None:
        return False
    try:
        head = parser.parse(data)
    except BadMessage as error:
        raise AssertionError(f"taken, and refused by Python: {error}") from error
    assert head is not None, "taken, and not complete for Python"
    method, target, host, fields, claims, length, close, size = taken
    assert (method, target, host) == (head.method, head.target, head.host)
    said = head.claims
    assert claims == (said.address, said.forwarded, said.proto, said.host, said.port)
    assert head.framing is (Framing.NONE if length < 0 else Framing.LENGTH)
    assert (max(length, 0), close, size) == (head.length, not head.keep_alive, head.consumed)
    accept = accepted(head.fields)
    wishes = ("json" in accept) + 2 * ("html" in accept) + 4 * shows_pages(accept)
    assert request_head.accepts(data) in (None, wishes)
    assert head.minor == 1
    assert not head.authenticates
    assert (head.upgrade, head.expect_continue, head.via) == (b"", False, b"")
    assert head.fields.startswith(fields)
    if size + head.length <= len(data):
        address = _CLIENTS[len(data) % 2]
        client = rules.client(address)
        sent = serialise_request(head, host=host, forwarded=client)
        body_ = data[size : size + head.length]
        assert _onwards[which].write(data, address) == sent + body_, "another head goes onward"
    return True


def same_response(data: bytes, method: bytes = b"GET") -> bool:
    """A response head, the answer to a request with `method`."""
    taken = response_head.read(data, method == b"HEAD") if COMPILED else None
    if taken is None:
        return False
    try:
        head = _responses.parse(data, 0, method)
    except BadMessage as error:
        raise AssertionError(f"taken, and refused by Python: {error}") from error
    assert head is not None, "taken, and not complete for Python"
    assert not head.authenticates
    status, line, fields, framing, length, keep_alive, size = taken
    assert (status, b"HTTP/1.1 " + line + b"\r\n") == (head.status, head.line)
    assert (fields, framing, length) == (head.fields, head.framing, head.length)
    assert (keep_alive, size) == (head.keep_alive, head.consumed)
    assert not head.upgrade
    return True


def same_chunks(portions: list[bytes]) -> bool:
    """A chunked body that comes in portions; also where Python goes on behind an odd line."""
    if not COMPILED:
        return False
    read = _chunks_read(portions)
    assert _chunks_handed_over(portions) == read
    taken = body.walk(Framing.CHUNKED, 0, portions)
    if taken is None:
        return False
    assert read is not None, "taken, and refused by Python"
    assert taken == read
    return True


def _chunks_read(portions: list[bytes]) -> tuple[bytes, bool] | None:
    """What Python alone makes of a body: output, and whether it is done; None if it refuses."""
    reader, read = ChunkedBody(RESPONSE_CHUNKS), b""
    for portion in portions:
        try:
            written, _, finished = reader.feed(portion)
        except BadMessage:
            return None
        read += bytes(written)
        if finished:
            return read, True
    return read, False


def _chunks_handed_over(portions: list[bytes]) -> tuple[bytes, bool] | None:
    """The same of both, one after the other."""
    try:
        return body.walk(Framing.CHUNKED, 0, portions, odd_chunks)
    except BadMessage:
        return None

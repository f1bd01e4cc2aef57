"""Writes the heads that go upstream and to the client.

Most of a head is made when its header block is parsed and shared by all requests
with that block (`onward`); what is left is one join.
"""

from gate.wire.http1.forwarding import ForwardedClient
from gate.wire.http1.message import NO_CLAIMS, Framing, RequestHead, ResponseHead

_, _, _CHUNKED, _CLOSE = Framing


def serialise_request(head: RequestHead, *, host: bytes, forwarded: ForwardedClient) -> bytes:
    """Return the head for the upstream, as HTTP/1.1.

    `host` is the authority to send in Host and X-Forwarded-Host; empty for a request that names
    none, which goes on as HTTP/1.0, for that alone may lack a Host. `forwarded` is the client's,
    by the rules of the parser that read the head. Expect, the websocket upgrade and framing are
    as in head.
    """
    if host is head.host and head.claims is NO_CLAIMS:
        closing = head.closing
    else:
        closing = forwarded.closing(head, host)
    return b"".join(
        (
            head.method,
            b" ",
            head.target,
            b" HTTP/1.1\r\nHost: " if host else b" HTTP/1.0",
            host,
            b"\r\n",
            head.onward,
            forwarded.fields,
            closing,
        )
    )


def serialise_response(head: ResponseHead, *, close: bool, client_minor: int = 1) -> bytes:
    """Return the head for the client.

    `close` says that the gate will close the connection after this response; it is
    implied where the body ends with the connection. A client older than HTTP/1.1
    gets no chunks: feed the body through `ChunkedBody(rechunk=False)` and close.
    """
    onward = head.onward
    framing = head.framing
    if framing is _CHUNKED and client_minor < 1:
        onward = head.fields + head.via
        close = True
    elif framing is _CLOSE:
        close = True
    if head.upgrade:
        last = b"Connection: upgrade\r\nUpgrade: %b\r\n\r\n" % head.upgrade
    elif close:
        last = b"Connection: close\r\n\r\n"
    elif client_minor < 1:
        last = b"Connection: keep-alive\r\n\r\n"
    else:
        last = b"\r\n"
    return b"".join((head.line, onward, last))

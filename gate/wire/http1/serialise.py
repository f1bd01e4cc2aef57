"""Writes the heads that go upstream and to the client.

Most of a head is made when its header block is parsed and shared by all requests
with that block (`onward`); what is left is one join.
"""

from gate.wire.http1.message import Framing, RequestHead, ResponseHead
from gate.wire.http1.response import VIA_LINE

_, _, _CHUNKED, _CLOSE = Framing


def forwarded_part(client: str, scheme: str) -> bytes:
    """What one client connection adds to each of its requests, made once.

    `client` is the client's address ("unknown" if there is none), `scheme` is
    "http" or "https".
    """
    return b"%b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: " % (
        client.encode("ascii"),
        scheme.encode("ascii"),
    )


def serialise_request(head: RequestHead, *, host: bytes, forwarded: bytes) -> bytes:
    """The head for the upstream, as HTTP/1.1.

    `host` is the authority to send in Host and X-Forwarded-Host; `forwarded` comes
    from forwarded_part. The client's address is appended to its X-Forwarded-For and
    the gate to its Via. Expect, the websocket upgrade and framing are as in head.
    """
    return b"".join(
        (
            head.method,
            b" ",
            head.target,
            b" HTTP/1.1\r\nHost: ",
            host,
            b"\r\n",
            head.onward,
            forwarded,
            host,
            b"\r\n\r\n",
        )
    )


def serialise_response(head: ResponseHead, *, close: bool, client_minor: int = 1) -> bytes:
    """The head for the client.

    `close` says that the gate will close the connection after this response; it is
    implied where the body ends with the connection. A client older than HTTP/1.1
    gets no chunks: feed the body through `ChunkedBody(rechunk=False)` and close.
    """
    onward = head.onward
    framing = head.framing
    if framing is _CHUNKED and client_minor < 1:
        onward = head.fields + VIA_LINE
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

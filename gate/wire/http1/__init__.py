"""HTTP/1: sans-IO parsers and serialisers, strict, and quick on traffic that repeats.

Strategy. Whatever a client or an upstream sent is parsed once, here, and what goes
on is written anew from that parse; bytes that are not understood end in BadMessage.
A head is cut into its start line and its header block. The start line is matched by
one regular expression. The header block is matched by one expression over the whole
block and then cut at the few fields that matter; the result is remembered under the
block's exact bytes, so a block that comes again costs one dict lookup. Bodies are
read by small state machines that pass data on as slices.
"""

from gate.wire.http1.body import CloseBody, LengthBody
from gate.wire.http1.chunked import REQUEST_CHUNKS, RESPONSE_CHUNKS, ChunkedBody, ChunkLimits
from gate.wire.http1.errors import BadMessage
from gate.wire.http1.message import HTTP_0_9, Framing, RequestHead, ResponseHead
from gate.wire.http1.request import RequestParser
from gate.wire.http1.response import ResponseParser
from gate.wire.http1.serialise import forwarded_part, serialise_request, serialise_response

__all__ = [
    "HTTP_0_9",
    "REQUEST_CHUNKS",
    "RESPONSE_CHUNKS",
    "BadMessage",
    "ChunkLimits",
    "ChunkedBody",
    "CloseBody",
    "Framing",
    "LengthBody",
    "RequestHead",
    "RequestParser",
    "ResponseHead",
    "ResponseParser",
    "forwarded_part",
    "serialise_request",
    "serialise_response",
]

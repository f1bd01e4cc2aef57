"""HTTP/1: sans-IO parsers and serialisers, strict, and quick on traffic that repeats.

Strategy. Whatever a client or an upstream sent is parsed once, here, and what goes on is
written anew from that parse; bytes that are not understood end in BadMessage. A request
head is cut into its request line and its header block. The line is matched by one regular
expression. The block is matched by one expression as a whole and then cut at the few fields
that matter; the result, with the upstream's head all but finished, is remembered under the
block's exact bytes, so a block that comes again costs one dict lookup. Bodies are read by
small state machines that pass data on as slices.

Why not llhttp (httptools 0.9). It is lenient where the gate must not be: it takes two Hosts
or none, several spaces in the request line, any number of empty lines in front, a fragment,
`Transfer-Encoding: gzip, chunked`, and chunked in HTTP/1.0; and it refuses the raw UTF-8
that curl sends in a query. All of that would be checked in Python again. It calls back once
for each field, which is what costs: for a browser's request of 12 fields 2.1 us with
callbacks that only keep the pairs, 4.5 us with ones that sort out hop-by-hop fields and join
the rest. Here the same head costs 1.2 us when its block was seen before and about 5 us when
not, all checks and the upstream's head included (benchmarks/wire.py, reference machine).

Choices that the RFCs leave open:

- Requests: empty lines in front are skipped, within the limit of the head (RFC 9112 2.2).
  HTTP/1.2 and higher are read like 1.1 (RFC 9110 2.5). Bytes from 0x80 pass in targets and
  field values. A Content-Length that is repeated is refused, equal or not. Connection options
  that name a field which the gate itself writes are refused; other options remove the fields
  they name. Only websocket can be upgraded to, by a GET without a body. An expectation other
  than 100-continue is passed on. Trailer is kept; `TE: trailers` is passed on. What is said of
  the client in front is in forwarding.py.
- Responses: what can be read in one way only is mended, as mending.py has it: LF line ends,
  whitespace before a colon, folded lines, control bytes in values. More than one space before
  the status, the coding `identity`, equal Content-Lengths, chunked in HTTP/1.0, whatever stands
  after a chunk's size, and LF line ends between chunks and in trailers are taken as well. What
  never has a body (RFC 9112 6.3, rule 1) has none, whatever its framing fields say. All else that
  is doubtful is a BadResponse.
- Chunked: extensions are dropped. Trailers are kept, but for fields that RFC 9110 6.5.1
  bars from them, which are dropped.
"""

from gate.wire.http1.accept_field import accepted, shows_pages, wants_json
from gate.wire.http1.body import CloseBody, LengthBody
from gate.wire.http1.chunked import REQUEST_CHUNKS, RESPONSE_CHUNKS, ChunkedBody, ChunkLimits
from gate.wire.http1.errors import BadMessage, BadResponse, ResponseFault
from gate.wire.http1.forwarding import ForwardedClient, Forwarding, ForwardingRules
from gate.wire.http1.message import HTTP_0_9, Framing, RequestHead, ResponseHead
from gate.wire.http1.request import RequestParser
from gate.wire.http1.response import ResponseParser
from gate.wire.http1.serialise import serialise_request, serialise_response

__all__ = [
    "HTTP_0_9",
    "REQUEST_CHUNKS",
    "RESPONSE_CHUNKS",
    "BadMessage",
    "BadResponse",
    "ChunkLimits",
    "ChunkedBody",
    "CloseBody",
    "ForwardedClient",
    "Forwarding",
    "ForwardingRules",
    "Framing",
    "LengthBody",
    "RequestHead",
    "RequestParser",
    "ResponseFault",
    "ResponseHead",
    "ResponseParser",
    "accepted",
    "serialise_request",
    "serialise_response",
    "shows_pages",
    "wants_json",
]

"""Properties of the HTTP/1 parsers on generated and mutated messages.

The oracle for what is well formed is the generator; for what a message means it is h11,
an independent parser: wherever both accept a message, they must agree on what it says.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

import h11
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gate.wire.http1 import (
    HTTP_0_9,
    BadMessage,
    ChunkedBody,
    Forwarding,
    ForwardingRules,
    Framing,
    RequestHead,
    RequestParser,
    ResponseHead,
    ResponseParser,
    serialise_request,
    serialise_response,
)
from tests.harness.examples import examples

TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SPECIAL = re.compile(
    rb"(?i)host|connection|content[-_]length|transfer[-_]encoding|upgrade|expect|te"
    rb"|keep-alive|proxy-.*|http2-settings|forwarded|x[-_]forwarded[-_](for|proto|host|port)"
)

tokens = st.text(TCHAR, min_size=1, max_size=12).map(str.encode)
methods = st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"DELETE"]) | tokens
targets = st.binary(max_size=30).map(
    lambda raw: b"/" + bytes(byte for byte in raw if byte > 0x20 and byte not in (0x23, 0x7F))
)
hosts = st.sampled_from([b"a.cn", b"WWW.Example.com:8080", b"[::1]:80", b"127.0.0.1", b"x.cn."])
values = st.binary(max_size=30).map(
    lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F).strip(b" \t")
)
names = tokens.filter(lambda name: SPECIAL.fullmatch(name) is None)
fields = st.lists(st.tuples(names, values), max_size=6)
spaces = st.sampled_from([b"", b" ", b"\t", b"  \t"])
gaps = st.sampled_from([b" ", b"  ", b"\t", b" \t "])
line_ends = st.sampled_from([b"\r\n", b"\n"])
folds = st.sampled_from([b"", b" ", b"\r\n ", b"\n\t", b"\n \r\n  "])
framings = st.sampled_from([b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])

# Pieces that messages with tricks in them are made of.
PIECES = [
    b"GET", b"POST", b" ", b"/", b"*", b"http://a.cn/", b"HTTP/1.1", b"HTTP/1.0",
    b"HTTP/1.1 200 OK", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\t", b":", b": ", b",", b"\x00",
    b"\xff", b"Host: a.cn\r\n", b"Host: b.cn\r\n", b"host:", b"Content-Length: 5\r\n",
    b"content-length: 6\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding : x\r\n",
    b"Connection: close, x\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Expect: 100-continue\r\n", b"X: y\r\n", b" folded\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n",
    b"0\r\n", b"5;a=b\r\n", b"hello", b"X-Forwarded-For: 1\r\n", b"A\r\n0123456789\r\n",
]  # fmt: skip
pieces = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=14).map(b"".join)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A well-formed HTTP/1.1 request head."""
    lines = [b"Host:" + draw(spaces) + draw(hosts) + draw(spaces) + b"\r\n"]
    for name, value in draw(fields):
        lines.append(name + b":" + draw(spaces) + value + draw(spaces) + b"\r\n")
    framing = draw(framings)
    if framing:
        lines.append(framing)
    start = draw(methods.filter(lambda name: name not in (b"CONNECT", b"TRACE")))
    line = start + b" " + draw(targets) + b" HTTP/1.1\r\n"
    return line + b"".join(draw(st.permutations(lines))) + b"\r\n"


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A well-formed head in which a few places were changed."""
    raw = draw(requests())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        cut = draw(st.integers(0, 3))
        raw = raw[:at] + draw(st.sampled_from(PIECES) | st.binary(max_size=2)) + raw[at + cut :]
    return raw


def segments(raw: bytes, cuts: list[int]) -> Iterator[bytes]:
    """raw, cut at the given places (taken modulo its length)."""
    places = sorted({cut % (len(raw) + 1) for cut in cuts} | {0, len(raw)})
    for start, end in pairwise(places):
        yield raw[start:end]


def outcome(parser: RequestParser, raw: bytes) -> RequestHead | BadMessage | None:
    """What parser says to raw."""
    try:
        return parser.parse(raw)
    except BadMessage as error:
        return error


def response_outcome(raw: bytes, method: bytes) -> ResponseHead | BadMessage | None:
    try:
        return ResponseParser().parse(raw, 0, method)
    except BadMessage as error:
        return error


def parse_incrementally(raw: bytes, cuts: list[int]) -> RequestHead | BadMessage | None:
    """What a parser says that is given raw in segments, at the first segment it says anything."""
    parser, buf, searched = RequestParser(), bytearray(), 0
    for segment in segments(raw, cuts):
        buf += segment
        try:
            head = parser.parse(buf, 0, searched)
        except BadMessage as error:
            return error
        if head is not None:
            return head
        searched = len(buf)
    return None


def as_tuple(head: RequestHead) -> tuple[object, ...]:
    return tuple(getattr(head, name) for name in RequestHead.__slots__)


RULES = [ForwardingRules(forwarding, via) for forwarding in Forwarding for via in (False, True)]
BARE = ForwardingRules(Forwarding.REPLACE, via=True)
"""By these a parser takes off whatever may be said of the client."""


@given(requests(), st.sampled_from(RULES))
def test_what_goes_upstream_parses_to_the_same_request(raw: bytes, rules: ForwardingRules) -> None:
    head = RequestParser(rules=rules).parse(raw)
    assert head is not None
    assert head.host is not None
    sent = serialise_request(head, host=head.host, forwarded=rules.client("203.0.113.9"))
    before, again = RequestParser(rules=BARE).parse(raw), RequestParser(rules=BARE).parse(sent)
    assert before is not None
    assert again is not None
    assert again.consumed == len(sent)
    for name in ("method", "target", "minor", "host", "fields", "framing", "length"):
        assert getattr(again, name) == getattr(before, name)
    address = RequestParser().parse(sent)
    assert address is not None
    assert address.claims.address.endswith(b"203.0.113.9") is (rules.adds)


@given(requests())
def test_no_field_is_lost_or_made_up(raw: bytes) -> None:
    head = RequestParser().parse(raw)
    assert head is not None
    kept = [
        line for line in raw.split(b"\r\n")[1:-2] if not SPECIAL.fullmatch(line.partition(b":")[0])
    ]
    assert head.fields == b"".join(line + b"\r\n" for line in kept)


@given(requests(), st.binary(max_size=20), st.binary(max_size=5))
def test_what_stands_around_a_head_does_not_matter(raw: bytes, after: bytes, before: bytes) -> None:
    head = RequestParser().parse(raw)
    other = RequestParser().parse(bytearray(before + raw + after), len(before))
    assert head is not None
    assert other is not None
    assert as_tuple(head) == as_tuple(other)


@given(requests(), st.integers(0))
def test_a_truncated_head_wants_more(raw: bytes, cut: int) -> None:
    assert RequestParser().parse(raw[: cut % len(raw)]) is None


@given(st.binary(max_size=60) | pieces | mutated(), st.sampled_from(RULES))
@example(b"GET / HTTP/1.1\r\nHost: a.cn\r\n\r\n\r\n", RULES[0])
def test_whatever_is_accepted_is_canonical_when_it_goes_on(
    raw: bytes, rules: ForwardingRules
) -> None:
    """Nothing but BadMessage is raised, and no byte that was not understood goes upstream."""
    head = outcome(RequestParser(rules=rules), raw)
    if isinstance(head, BadMessage):
        assert head.status in (400, 405, 414, 431, 501, 505)
        assert head.detail
        return
    if head is None or head.minor == HTTP_0_9:
        return
    assert head.consumed <= len(raw)
    forwarded = rules.client("203.0.113.9")
    sent = serialise_request(head, host=head.host or b"a.cn", forwarded=forwarded)
    assert re.fullmatch(
        rb"[^\x00-\x20\x7f-\xff]+ (/[^\x00-\x20\x7f#]*|\*) HTTP/1\.1\r\n"
        rb"([!#-'*+.^-z|~A-Z0-9-]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)+\r\n",
        sent,
    )
    names = [line.partition(b":")[0].lower() for line in sent.split(b"\r\n")[1:-2]]
    assert names.count(b"host") == 1
    if rules.via:
        assert names.count(b"via") == 1
    if rules.adds:
        for once in (b"for", b"proto", b"host", b"port"):
            assert names.count(b"x-forwarded-" + once) == 1
    assert names.count(b"content-length") == (head.framing is Framing.LENGTH)
    assert names.count(b"transfer-encoding") == (head.framing is Framing.CHUNKED)
    again = RequestParser().parse(sent)
    assert again is not None
    assert (again.framing, again.length, again.host) == (
        head.framing,
        head.length,
        head.host or b"a.cn",
    )


@given(pieces | mutated(), st.lists(st.integers(0, 300), max_size=8))
def test_segments_do_not_change_the_outcome(raw: bytes, cuts: list[int]) -> None:
    whole = parse_incrementally(raw, [])
    parts = parse_incrementally(raw, cuts)
    if isinstance(whole, RequestHead):
        assert isinstance(parts, RequestHead)
        assert as_tuple(parts) == as_tuple(whole)
    elif whole is None:
        assert parts is None
    else:
        assert isinstance(parts, BadMessage)


@given(st.lists(pieces | mutated(), max_size=6))
def test_memory_of_other_heads_does_not_change_the_outcome(raws: list[bytes]) -> None:
    shared = RequestParser()
    for raw in raws + raws:
        one, two = outcome(shared, raw), outcome(RequestParser(memo_bytes=0), raw)
        assert str(one) == str(two)


def h11_reads(
    raw: bytes, connection: h11.Connection
) -> tuple[h11.Request | h11.Response | h11.InformationalResponse, bytes, bool] | None:
    """What h11 makes of raw: the head, the body, and whether it was complete."""
    head: h11.Request | h11.Response | h11.InformationalResponse | None = None
    body, complete = b"", False
    try:
        connection.receive_data(raw)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request | h11.Response | h11.InformationalResponse):
                head = event
                if isinstance(event, h11.InformationalResponse):
                    return head, b"", True
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                complete = isinstance(event, h11.EndOfMessage)
                break
    except h11.RemoteProtocolError:
        return None
    return None if head is None else (head, body, complete)


def gate_body(framing: Framing, length: int, rest: bytes) -> tuple[bytes, bool] | None:
    """The body that follows a head, as the gate reads it; None if it is refused."""
    if framing is Framing.NONE:
        return b"", True
    if framing is Framing.LENGTH:
        return rest[:length], len(rest) >= length
    if framing is Framing.CLOSE:
        return rest, False
    try:
        out, _, done = ChunkedBody(rechunk=False).feed(rest)
    except BadMessage:
        return None
    return bytes(out), done


@settings(max_examples=examples(300))
@given(
    pieces | requests() | mutated(),
    st.sampled_from(
        [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"3;a\r\nabc\r\n0\r\nX: y\r\n\r\n", b"0\r\n"]
    )
    | pieces,
)
def test_agrees_with_h11_on_requests(raw: bytes, body: bytes) -> None:
    head = outcome(RequestParser(), raw + body)
    if isinstance(head, BadMessage):
        return
    # h11 does not know absolute-form, HTTP/0.9, or one empty line in front.
    assume(head is not None and head.minor != HTTP_0_9 and not raw.startswith(b"\r\n"))
    assert head is not None
    read = h11_reads(raw + body, h11.Connection(h11.SERVER))
    mine = gate_body(head.framing, head.length, (raw + body)[head.consumed :])
    if read is None or mine is None:
        return
    other, other_body, other_complete = read
    assert isinstance(other, h11.Request)
    assert other.method == head.method
    if b"://" not in raw.split(b"\r\n")[0]:
        assert other.target == head.target
        host = [value for name, value in other.headers if name == b"host"]
        assert host == ([head.host] if head.host is not None else host)
    assert (other_body, other_complete) == mine
    others = b"".join(
        b"%b: %b\r\n" % (name, value)
        for name, value in other.headers
        if not SPECIAL.fullmatch(name)
    )
    listed = {
        option.strip().lower()
        for name, value in other.headers
        if name == b"connection"
        for option in value.split(b",")
    }
    if not listed - {b"close", b"upgrade", b"keep-alive"}:
        lines = head.fields.split(b"\r\n")[:-1]
        parsed = [line.partition(b":") for line in lines]
        assert others == b"".join(
            b"%b: %b\r\n" % (name.lower(), value.strip(b" \t")) for name, _, value in parsed
        )


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A well-formed response head."""
    status = draw(st.sampled_from([100, 103, 200, 204, 206, 304, 404, 502]))
    line = b"HTTP/1.%d %d %b\r\n" % (draw(st.integers(0, 1)), status, draw(values))
    lines = [name + b": " + value + b"\r\n" for name, value in draw(fields)]
    lines.append(draw(framings))
    return line + b"".join(draw(st.permutations(lines))) + b"\r\n"


@given(responses(), st.sampled_from([b"GET", b"HEAD", b"POST"]))
def test_what_goes_to_the_client_parses_to_the_same_response(raw: bytes, method: bytes) -> None:
    head = response_outcome(raw, method)
    assert isinstance(head, ResponseHead)
    sent = serialise_response(head, close=False)
    again = ResponseParser().parse(sent, 0, method)
    assert again is not None
    for name in ("status", "reason", "framing", "length"):
        assert getattr(again, name) == getattr(head, name)
    assert again.fields == head.fields


@given(responses(), st.sampled_from([b"GET", b"HEAD"]), st.data())
def test_a_head_that_was_mended_says_the_same_as_one_in_good_form(
    raw: bytes, method: bytes, data: st.DataObject
) -> None:
    """Line ends, whitespace and control bytes put out of order, any of them, at any place."""
    line, *lines = raw.split(b"\r\n")[:-2]
    minor, status, reason = line[:8], line[9:12], line[13:]
    rough = minor + data.draw(gaps) + status + data.draw(st.sampled_from([b" ", b"\t"])) + reason
    for field in lines:
        name, _, value = field.partition(b":")
        rough += data.draw(line_ends) + name + data.draw(spaces) + b":" + data.draw(folds) + value
    rough += data.draw(line_ends) + data.draw(line_ends)
    head, other = response_outcome(raw, method), response_outcome(rough + b"\n\n", method)
    assert isinstance(head, ResponseHead)
    assert isinstance(other, ResponseHead)
    assert other.consumed == len(rough)
    for part in ("status", "reason", "minor", "framing", "length", "keep_alive", "line"):
        assert getattr(other, part) == getattr(head, part)
    said, meant = (
        [tuple(part.strip(b" \t") for part in field.split(b":", 1)) for field in lines_of(it)]
        for it in (other, head)
    )
    assert said == meant


def lines_of(head: ResponseHead) -> list[bytes]:
    return head.onward.split(b"\r\n")[:-1]


@given(st.binary(max_size=60) | pieces | responses(), st.sampled_from([b"GET", b"HEAD"]))
def test_responses_raise_nothing_but_bad_message(raw: bytes, method: bytes) -> None:
    for buf in (raw, b"HTTP/1.1 200 OK\r\n" + raw, b"HTTP/1.1 200 OK\r\n" + raw + b"\r\n\r\n"):
        head = response_outcome(buf, method)
        if isinstance(head, BadMessage):
            assert head.status == 502
        elif head is not None:
            sent = serialise_response(head, close=False)
            again = ResponseParser().parse(sent, 0, method)
            assert isinstance(again, ResponseHead)
            assert (again.framing, again.length) == (head.framing, head.length)


@settings(max_examples=examples(300))
@given(responses() | pieces.map(lambda raw: b"HTTP/1.1 200 OK\r\n" + raw), pieces)
def test_agrees_with_h11_on_responses(raw: bytes, body: bytes) -> None:
    head = response_outcome(raw + body, b"GET")
    if isinstance(head, BadMessage):
        return
    assume(head is not None)
    assert head is not None
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a.cn")]))
    connection.send(h11.EndOfMessage())
    read = h11_reads(raw + body, connection)
    mine = gate_body(head.framing, head.length, (raw + body)[head.consumed :])
    if read is None or mine is None:
        return
    other, other_body, other_complete = read
    assert isinstance(other, h11.Response | h11.InformationalResponse)
    assert other.status_code == head.status
    assert (other_body, other_complete) == mine


chunk_texts = st.lists(
    st.binary(min_size=1, max_size=40).flatmap(
        lambda data: st.sampled_from(
            [b"%x\r\n%b\r\n", b"%X\r\n%b\r\n", b"0%x\r\n%b\r\n", b'%x;a="b"\r\n%b\r\n']
        ).map(lambda form: (form % (len(data), data), data))
    ),
    max_size=6,
)


@given(chunk_texts, st.booleans(), st.lists(st.integers(0, 500), max_size=10), st.booleans())
def test_chunked_body_in_any_segments(
    chunks: list[tuple[bytes, bytes]], trailer: bool, cuts: list[int], rechunk: bool
) -> None:
    data = b"".join(data for _, data in chunks)
    end = b"0\r\nX: y\r\n\r\n" if trailer else b"0\r\n\r\n"
    raw = b"".join(text for text, _ in chunks) + end
    body, out, used, done = ChunkedBody(rechunk=rechunk), b"", 0, False
    for segment in segments(raw + b"next", cuts):
        assert not done or used == len(raw)
        piece, count, done = body.feed(memoryview(segment) if len(cuts) % 2 else segment)
        out += piece
        used += count
    assert done
    assert used == len(raw)
    if not rechunk:
        assert out == data
        return
    assert out.endswith(end)
    assert ChunkedBody(rechunk=False).feed(out) == (data, len(out), True)


@given(pieces | st.binary(max_size=40), st.lists(st.integers(0, 100), max_size=6))
def test_chunked_body_raises_nothing_but_bad_message(raw: bytes, cuts: list[int]) -> None:
    outcomes = []
    for places in ([], cuts):
        body, out = ChunkedBody(rechunk=False), b""
        try:
            for segment in segments(raw, places):
                piece, _, done = body.feed(segment)
                out += piece
                if done:
                    break
            outcomes.append((out, False))
        except BadMessage:
            outcomes.append((b"", True))
    assert outcomes[0] == outcomes[1]

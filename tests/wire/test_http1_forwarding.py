"""What goes on to the upstream and to the client: fields kept, dropped, merged and added."""

import pytest

from gate.wire.http1 import (
    BadMessage,
    Forwarding,
    ForwardingRules,
    RequestHead,
    RequestParser,
    ResponseHead,
    ResponseParser,
    serialise_request,
    serialise_response,
)

FORWARDED = ForwardingRules().client("203.0.113.9")


def request(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> RequestHead:
    raw = b"\r\n".join((line, b"Host: a.cn", *lines, b"", b""))
    head = RequestParser().parse(raw)
    assert head is not None
    return head


def onward(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> list[bytes]:
    """Lines of the head that goes upstream for a request with these field lines."""
    head = request(*lines, line=line)
    raw = serialise_request(head, host=head.host or b"", forwarded=FORWARDED)
    assert raw.endswith(b"\r\n\r\n")
    return raw[:-4].split(b"\r\n")


def response(
    *lines: bytes, line: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET", via: bool = False
) -> ResponseHead:
    head = ResponseParser(via=via).parse(b"\r\n".join((line, *lines, b"", b"")), 0, method)
    assert head is not None
    return head


def test_request_is_written_anew() -> None:
    assert onward(b"Accept: */*", line=b"GET http://a.cn/x?y HTTP/1.0") == [
        b"GET /x?y HTTP/1.1",
        b"Host: a.cn",
        b"Accept: */*",
        b"X-Forwarded-For: 203.0.113.9",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: a.cn",
        b"X-Forwarded-Port: 80",
    ]


def test_host_sent_is_the_one_given() -> None:
    head = request(b"Accept: */*")
    raw = serialise_request(head, host=b"b.cn:81", forwarded=FORWARDED)
    assert raw.startswith(b"GET / HTTP/1.1\r\nHost: b.cn:81\r\nAccept: */*\r\n")
    assert raw.endswith(b"\r\nX-Forwarded-Host: b.cn:81\r\nX-Forwarded-Port: 81\r\n\r\n")
    assert b"a.cn" not in raw


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        ([], []),
        ([b"Content-Length: 010"], [b"Content-Length: 10"]),
        ([b"TRANSFER-encoding: Chunked"], [b"Transfer-Encoding: chunked"]),
        ([b"Connection: keep-alive", b"Keep-Alive: timeout=5"], []),
        ([b"Connection: close", b"Proxy-Connection: close"], []),
        ([b"Proxy-Authorization: Basic eA==", b"Proxy-Authenticate: Basic"], []),
        ([b"TE: gzip"], []),
        ([b"TE: gzip, Trailers", b"Connection: te"], [b"TE: trailers", b"Connection: TE"]),
        ([b"Trailer: X-Sum"], [b"Trailer: X-Sum"]),
        (
            [b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", b"Connection: upgrade, HTTP2-Settings"],
            [],
        ),
        ([b"Upgrade: websocket"], []),
        ([b"Upgrade: TLS/1.0", b"Connection: upgrade"], []),
        (
            [b"Connection: Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Version: 13"],
            [b"Sec-WebSocket-Version: 13", b"Connection: upgrade", b"Upgrade: websocket"],
        ),
        (
            [b"Upgrade: h2c, websocket", b"Connection: keep-alive, upgrade"],
            [b"Connection: upgrade", b"Upgrade: websocket"],
        ),
        ([b"Connection: x-drop, X-Also", b"X-Drop: 1", b"X-ALSO: 2", b"X-Keep: 3"], [b"X-Keep: 3"]),
        ([b"X-Drop: 1", b"Connection: x-drop"], []),
        ([b"Connection: x", b"Connection: y", b"X: 1", b"Y: 2", b"Z: 3"], [b"Z: 3"]),
        (
            [b"Connection: transfer-encoding", b"Transfer-Encoding: chunked"],
            [b"Transfer-Encoding: chunked"],
        ),
        ([b"Connection: not a token", b"Not: 1"], [b"Not: 1"]),
        (
            [b"Expect: 100-continue", b"Content-Length: 5"],
            [b"Content-Length: 5", b"Expect: 100-continue"],
        ),
        ([b"Expect: 100-continue"], []),
        (
            [b"X_Forwarded_Host: b.cn", b"X-Forwarded_For: 1.1.1.1", b"X-Forwarded-Anything: x"],
            [b"X-Forwarded-Anything: x"],
        ),
        ([b"Via: 1.0 fred", b"X-Real-IP: 1.2.3.4"], [b"Via: 1.0 fred", b"X-Real-IP: 1.2.3.4"]),
        ([b"Set: 1", b"set: 2", b"SET: 3"], [b"Set: 1", b"set: 2", b"SET: 3"]),
    ],
)
def test_fields_between_host_and_the_clients_address(
    lines: list[bytes], added: list[bytes]
) -> None:
    sent = onward(*lines)
    assert sent[:2] == [b"GET / HTTP/1.1", b"Host: a.cn"]
    assert sent[2:-4] == added
    assert sent[-4:] == [
        b"X-Forwarded-For: 203.0.113.9",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: a.cn",
        b"X-Forwarded-Port: 80",
    ]


def told(rules: ForwardingRules, *lines: bytes, client: str = "203.0.113.9") -> list[bytes]:
    """Return what the upstream is sent, between its Host and the end."""
    raw = b"\r\n".join((b"GET / HTTP/1.1", b"Host: a.cn", *lines, b"", b""))
    for parser in (RequestParser(rules=rules), RequestParser(rules=rules, memo_bytes=0)):
        head = parser.parse(raw)
        assert head is not None
        sent = serialise_request(head, host=head.host or b"", forwarded=rules.client(client))
    assert sent.startswith(b"GET / HTTP/1.1\r\nHost: a.cn\r\n")
    assert sent.endswith(b"\r\n\r\n")
    return sent.split(b"\r\n")[2:-2]


APPEND = ForwardingRules()
ADDRESS = b"X-Forwarded-For: 203.0.113.9"
PROTO, HOST, PORT = (
    b"X-Forwarded-" + rest for rest in (b"Proto: http", b"Host: a.cn", b"Port: 80")
)


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        ([], [ADDRESS, PROTO, HOST, PORT]),
        (
            [b"X-Forwarded-For: 1.1.1.1", b"x-forwarded-for: 2.2.2.2 , 3.3.3.3"],
            [b"X-Forwarded-For: 1.1.1.1, 2.2.2.2 , 3.3.3.3, 203.0.113.9", PROTO, HOST, PORT],
        ),
        (
            [b"X-Forwarded-Proto: https"],
            [b"X-Forwarded-Proto: https", ADDRESS, HOST, b"X-Forwarded-Port: 443"],
        ),
        (
            [b"x-forwarded-proto: HTTPS", b"X-Forwarded-Port: 8443", b"X-Forwarded-Host: b.cn"],
            [
                b"X-Forwarded-Proto: HTTPS",
                b"X-Forwarded-Host: b.cn",
                b"X-Forwarded-Port: 8443",
                ADDRESS,
            ],
        ),
        ([b"X-Forwarded-Proto:"], [ADDRESS, PROTO, HOST, PORT]),
        (
            [b"Forwarded: for=1.2.3.4;proto=https"],
            [ADDRESS, b"Forwarded: for=1.2.3.4;proto=https, for=203.0.113.9", PROTO, HOST, PORT],
        ),
        ([b"Via: 1.0 a"], [b"Via: 1.0 a", ADDRESS, PROTO, HOST, PORT]),
        ([b"X-Real-IP: 1.2.3.4"], [b"X-Real-IP: 1.2.3.4", ADDRESS, PROTO, HOST, PORT]),
    ],
)
def test_append_adds_the_address_and_what_is_absent(lines: list[bytes], sent: list[bytes]) -> None:
    assert told(APPEND, *lines) == sent


@pytest.mark.parametrize(
    "claim",
    [
        b"X-Forwarded-For: 1.1.1.1",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Anything: x",
        b"X_Forwarded_Host: b.cn",
        b"Forwarded: for=1.1.1.1",
        b"X-Real-IP: 1.1.1.1",
        b"X_Real_IP: 1.1.1.1",
        b"Client-IP: 1.1.1.1",
        b"True-Client-IP: 1.1.1.1",
        b"true_client_ip: 1.1.1.1",
    ],
)
def test_replace_lets_no_claim_of_a_client_pass(claim: bytes) -> None:
    assert told(ForwardingRules(Forwarding.REPLACE), claim) == [
        ADDRESS,
        b"X-Real-IP: 203.0.113.9",
        b"Client-IP: 203.0.113.9",
        b"True-Client-IP: 203.0.113.9",
        b"Forwarded: for=203.0.113.9;proto=http",
        PROTO,
        HOST,
        PORT,
    ]


@pytest.mark.parametrize(
    "lines", [[], [b"X-Forwarded-For: 1.1.1.1", b"Forwarded: for=x", b"X_Forwarded_Host: b.cn"]]
)
def test_off_changes_nothing(lines: list[bytes]) -> None:
    assert told(ForwardingRules(Forwarding.OFF), *lines) == lines


@pytest.mark.parametrize("forwarding", Forwarding)
def test_via_is_added_where_it_is_asked_for(forwarding: Forwarding) -> None:
    rules = ForwardingRules(forwarding, via=True)
    assert b"Via: 1.1 gate" in told(rules)
    assert b"Via: 1.0 a, 1.1 b, 1.1 gate" in told(rules, b"Via: 1.0 a", b"via:1.1 b")
    assert not [line for line in told(ForwardingRules(forwarding)) if line.startswith(b"Via")]


@pytest.mark.parametrize(
    ("client", "node"),
    [
        ("203.0.113.9", b"203.0.113.9"),
        ("2001:db8::1", b'"[2001:db8::1]"'),
        ("fe80::1%eth0", b'"[fe80::1]"'),
    ],
)
def test_an_address_is_written_as_rfc_7239_has_it(client: str, node: bytes) -> None:
    sent = told(APPEND, b"Forwarded: by=x", client=client)
    assert b"Forwarded: by=x, for=" + node in sent
    assert b"X-Forwarded-For: " + client.encode() in sent


@pytest.mark.parametrize(
    ("host", "port"), [(b"a.cn:8080", b"8080"), (b"[::1]", b"80"), (b"[::1]:81", b"81")]
)
def test_the_port_is_that_of_the_host(host: bytes, port: bytes) -> None:
    head = RequestParser().parse(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert head is not None
    sent = serialise_request(head, host=host, forwarded=FORWARDED)
    assert sent.endswith(b"\r\nX-Forwarded-Port: " + port + b"\r\n\r\n")


@pytest.mark.parametrize(
    "option",
    [b"Host", b"Content-Length", b"Via", b"X-Forwarded-For", b"X-Forwarded-Host", b"forwarded"],
)
def test_connection_may_not_name_what_the_gate_writes(option: bytes) -> None:
    with pytest.raises(BadMessage) as caught:
        request(b"Connection: close, " + option)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("line", "lines", "upgrade"),
    [
        (b"GET / HTTP/1.1", [], b"websocket"),
        (b"GET http://a.cn/ HTTP/1.1", [], b"websocket"),
        (b"GET / HTTP/1.1", [b"Content-Length: 0"], b"websocket"),
        (b"GET / HTTP/1.1", [b"Content-Length: 1"], b""),
        (b"GET / HTTP/1.1", [b"Transfer-Encoding: chunked"], b""),
        (b"POST / HTTP/1.1", [], b""),
        (b"GET / HTTP/1.0", [], b""),
    ],
)
def test_upgrade_needs_a_bodiless_get(line: bytes, lines: list[bytes], upgrade: bytes) -> None:
    fields = [b"Connection: upgrade", b"Upgrade: websocket", *lines]
    assert request(*fields, line=line).upgrade == upgrade
    assert (b"Upgrade: websocket" in onward(*fields, line=line)) is bool(upgrade)


@pytest.mark.parametrize(
    ("line", "lines", "waits"),
    [
        (b"POST / HTTP/1.1", [b"Content-Length: 5"], True),
        (b"POST / HTTP/1.1", [b"Transfer-Encoding: chunked"], True),
        (b"POST / HTTP/1.1", [b"Content-Length: 0"], False),
        (b"POST / HTTP/1.1", [], False),
        (b"POST / HTTP/1.0", [b"Content-Length: 5"], False),
    ],
)
def test_expect_continue(line: bytes, lines: list[bytes], waits: bool) -> None:
    fields = [b"Expect: 100-Continue", *lines]
    assert request(*fields, line=line).expect_continue is waits
    assert (b"Expect: 100-continue" in onward(*fields, line=line)) is waits


@pytest.mark.parametrize(
    ("lines", "sent", "waits"),
    [
        ([b"Expect: 200-ok"], [b"Expect: 200-ok"], False),
        ([b"Expect: 200-ok; A=B"], [b"Expect: 200-ok; A=B"], False),
        ([b"Expect:"], [], False),
        ([b"Expect: ,"], [], False),
        ([b"Expect: 100-Continue, x"], [b"Expect: 100-continue, x"], True),
        ([b"Expect: x", b"Expect: 100-continue"], [b"Expect: 100-continue, x"], True),
        ([b'Expect: x="a,,b",y'], [b'Expect: x="a,,b",y'], False),
        ([b"Expect: 100-continue", b"Expect: 100-continue"], [b"Expect: 100-continue"], True),
        ([b"Expect: 100-continue,"], [b"Expect: 100-continue"], True),
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_other_expectations_are_for_the_origin_to_answer(
    lines: list[bytes], sent: list[bytes], waits: bool, version: bytes
) -> None:
    """RFC 9110 10.1.1: whoever cannot meet one may say so, and a gate has nothing to say."""
    line = b"POST / HTTP/" + version
    fields = [*lines, b"Content-Length: 5"]
    if version == b"1.0":  # there 100-continue is ignored
        waits = False
        sent = [field.replace(b"100-continue, ", b"") for field in sent]
        sent = [field for field in sent if field != b"Expect: 100-continue"]
    assert request(*fields, line=line).expect_continue is waits
    assert [line for line in onward(*fields, line=line) if line.startswith(b"Expect")] == sent


@pytest.mark.parametrize(
    ("line", "fields", "arguments", "sent"),
    [
        (
            b"HTTP/1.1 200 OK",
            [b"A: b"],
            {},
            [b"HTTP/1.1 200 OK", b"A: b", b"Via: 1.1 gate", b"Connection: close"],
        ),
        (
            b"HTTP/1.0 404",
            [b"Content-Length: 3", b"Connection: close"],
            {},
            [b"HTTP/1.1 404 ", b"Content-Length: 3", b"Via: 1.1 gate"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Content-Length: 3"],
            {"close": True},
            [b"HTTP/1.1 200 OK", b"Content-Length: 3", b"Via: 1.1 gate", b"Connection: close"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Content-Length: 3"],
            {"client_minor": 0},
            [b"HTTP/1.1 200 OK", b"Content-Length: 3", b"Via: 1.1 gate", b"Connection: keep-alive"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Transfer-Encoding: chunked", b"Trailer: X"],
            {},
            [b"HTTP/1.1 200 OK", b"Trailer: X", b"Transfer-Encoding: chunked", b"Via: 1.1 gate"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Transfer-Encoding: chunked"],
            {"client_minor": 0},
            [b"HTTP/1.1 200 OK", b"Via: 1.1 gate", b"Connection: close"],
        ),
        (
            b"HTTP/1.1 101 Switching Protocols",
            [b"Upgrade: WebSocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: x"],
            {},
            [
                b"HTTP/1.1 101 Switching Protocols",
                b"Sec-WebSocket-Accept: x",
                b"Via: 1.1 gate",
                b"Connection: upgrade",
                b"Upgrade: websocket",
            ],
        ),
        (
            b"HTTP/1.1 204 No Content",
            [b"Content-Length: 0", b"Keep-Alive: timeout=5", b"Via: 1.1 x"],
            {},
            [b"HTTP/1.1 204 No Content", b"Via: 1.1 x", b"Via: 1.1 gate"],
        ),
        (
            b"HTTP/1.1 200 OK",
            [b"Content-Length: 0", b"Connection: x-drop", b"X-Drop: 1", b"Upgrade: h2,h2c"],
            {},
            [b"HTTP/1.1 200 OK", b"Content-Length: 0", b"Via: 1.1 gate"],
        ),
    ],
)
def test_response_is_written_anew(
    line: bytes, fields: list[bytes], arguments: dict[str, int], sent: list[bytes]
) -> None:
    for via in (True, False):
        raw = serialise_response(
            response(*fields, line=line, via=via),
            close=bool(arguments.get("close")),
            client_minor=arguments.get("client_minor", 1),
        )
        assert raw.endswith(b"\r\n\r\n")
        own = [] if via else [b"Via: 1.1 gate"]
        assert raw[:-4].split(b"\r\n") == [line for line in sent if line not in own]


def test_head_and_304_keep_the_length_of_the_body_they_leave_out() -> None:
    for head in (
        response(b"Content-Length: 30", method=b"HEAD"),
        response(b"Content-Length: 30", line=b"HTTP/1.1 304 Not Modified"),
    ):
        assert b"\r\nContent-Length: 30\r\n" in serialise_response(head, close=False)
    chunked = response(b"Transfer-Encoding: chunked", method=b"HEAD")
    assert b"chunked" not in serialise_response(chunked, close=False)

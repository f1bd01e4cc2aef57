"""TLS: a name cut, doubled, hidden or dressed up so that gate and origin might disagree."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.harness import filings, hello
from tests.harness.client import Client, get
from tests.harness.http_origin import Exchange
from tests.harness.stage import Stage

UNFILED = b"unfiled.com"
RAW = filings.TO_RAW.encode()
BASE = hello.hello(UNFILED)
NAME_AT = BASE.index(UNFILED)
# From a few bytes before the extension's header to a few behind the name.
OFFSETS = range(NAME_AT - 12, NAME_AT + len(UNFILED) + 3)


def expect_reset(stage: Stage, *pieces: bytes, listener: str = "tls") -> None:
    """Send the pieces apart; the connection is reset and the origin has seen nothing."""
    with stage.no_tunnel(), stage.tls(listener) as client:
        send_apart(client, *pieces)
        client.expect_reset()


def send_apart(client: Client, *pieces: bytes) -> None:
    for number, piece in enumerate(pieces):
        if number:
            time.sleep(0.001)  # so that the gate reads each piece by itself
        try:
            client.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            return


@pytest.mark.parametrize("listener", ["tls", "http"])
def test_segment_split_at_every_offset_of_the_name(bypass_stage: Stage, listener: str) -> None:
    for offset in OFFSETS:
        expect_reset(bypass_stage, BASE[:offset], BASE[offset:], listener=listener)


def test_record_split_at_every_offset_of_the_name(bypass_stage: Stage) -> None:
    message = BASE[5:]
    for offset in OFFSETS:
        cut = offset - 5
        pieces = hello.record(message[:cut]), hello.record(message[cut:])
        expect_reset(bypass_stage, b"".join(pieces))
        expect_reset(bypass_stage, *pieces)


def test_records_with_empty_ones_between(bypass_stage: Stage) -> None:
    # RFC 8446 5.1: zero-length handshake fragments are not allowed.
    message = BASE[5:]
    cut = NAME_AT - 3
    expect_reset(
        bypass_stage,
        hello.record(message[:cut]) + hello.record(b"") + hello.record(message[cut:]),
    )


def test_record_of_another_type_between(bypass_stage: Stage) -> None:
    message = hello.hello(RAW)[5:]
    for kind in (20, 21, 23, 24):
        expect_reset(
            bypass_stage,
            hello.record(message[:40]) + hello.record(b"\x01\x00", kind=kind)
            + hello.record(message[40:]),
        )  # fmt: skip


def extensions(*parts: bytes) -> bytes:
    return hello.records(hello.handshake(b"".join(parts) + hello.COMMON))


filed, unfiled = hello.server_name(RAW), hello.server_name(UNFILED)
DISGUISES = {
    "filed-then-unfiled-extension": extensions(filed, unfiled),
    "unfiled-then-filed-extension": extensions(unfiled, filed),
    "filed-first-in-one-list": extensions(hello.server_name(RAW, UNFILED)),
    "unfiled-first-in-one-list": extensions(hello.server_name(UNFILED, RAW)),
    "other-name-type": extensions(hello.server_name(RAW, name_type=1)),
    "other-name-type-before-unfiled": extensions(
        hello.extension(
            0,
            hello.vector(b"\x01" + hello.vector(RAW, 2) + b"\x00" + hello.vector(UNFILED, 2), 2),
        )
    ),
    "nul-behind-filed": extensions(hello.server_name(RAW + b"\x00.unfiled.com")),
    "nul-before-filed": extensions(hello.server_name(b"unfiled.com\x00." + RAW)),
    "dot-before": extensions(hello.server_name(b"." + RAW)),
    "two-dots-behind": extensions(hello.server_name(RAW + b"..")),
    "slash": extensions(hello.server_name(b"unfiled.com/" + RAW)),
    "at-sign": extensions(hello.server_name(b"unfiled.com@" + RAW)),
    "port-behind-filed": extensions(hello.server_name(RAW + b":443")),
    "port-behind-unfiled": extensions(hello.server_name(UNFILED + b":443")),
    "empty-port-behind-filed": extensions(hello.server_name(RAW + b":")),
    "port-behind-a-dot": extensions(hello.server_name(RAW + b".:443")),
    "ipv6-literal": extensions(hello.server_name(b"[::1]")),
    "ipv6-literal-without-brackets": extensions(hello.server_name(b"::1")),
    "tab": extensions(hello.server_name(RAW + b"\t")),
    "percent-encoding": extensions(hello.server_name(b"to-raw%2ecom")),
    "full-width-dot": extensions(hello.server_name("to-raw\uff0ecom.unfiled.com".encode())),
    "comma": extensions(hello.server_name(RAW + b"," + UNFILED)),
    "wildcard": extensions(hello.server_name(b"*." + RAW)),
    "upper-case-unfiled": extensions(hello.server_name(b"UNFILED.COM")),
    "trailing-dot-unfiled": extensions(hello.server_name(b"unfiled.com.")),
    "filed-below-unfiled": extensions(hello.server_name(RAW + b".unfiled.com")),
    "filed-as-string-suffix": extensions(hello.server_name(b"x" + RAW)),
    "name-in-alpn": extensions(
        hello.extension(hello.Extension.ALPN, hello.vector(hello.vector(RAW, 1), 2)), unfiled
    ),
    "name-in-padding": extensions(hello.extension(hello.Extension.PADDING, filed), unfiled),
    "filed-in-an-unknown-extension": extensions(hello.extension(0x5555, filed)),
    "filed-in-the-session-id": hello.records(
        hello.handshake(unfiled + hello.COMMON, session=filed)
    ),
    "ech-with-unfiled-outer-name": extensions(unfiled, hello.encrypted_client_hello()),
    "ech-without-a-name": extensions(hello.encrypted_client_hello()),
    "no-name": extensions(),
    "ip-address": extensions(hello.server_name(b"127.0.0.1")),
    "bytes-behind-the-extensions": hello.record(
        b"\x01" + hello.vector(hello.handshake(unfiled + hello.COMMON)[4:] + filed, 3)
    ),
    "two-hellos": hello.hello(UNFILED) + hello.hello(RAW),
    "padded-beyond-16-kib": extensions(hello.padding(17_000), unfiled),
    "padded-beyond-the-limit": hello.oversized(filed),
    "name-behind-50-kib": extensions(hello.padding(50_000), unfiled),
    "sslv2-compatible": b"\x80\x2e\x01\x03\x03\x00\x15\x00\x00\x00\x10" + bytes(37),
    "dtls": b"\x16\xfe\xfd" + bytes(8) + hello.vector(hello.handshake(filed), 2),
}


@pytest.mark.parametrize("data", DISGUISES.values(), ids=DISGUISES.keys())
def test_disguised_name_is_reset(bypass_stage: Stage, data: bytes) -> None:
    expect_reset(bypass_stage, data)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (RAW + b":443", "malformed"),
        (UNFILED + b":443", "malformed"),
        (RAW + b"\x00", "malformed"),
        (b"[::1]", "ip_host"),
        (b"[::1]:443", "malformed"),
        (b"::1", "ip_host"),
        (b"2001:db8::1", "ip_host"),
        (b"127.0.0.1:443", "malformed"),
    ],
    ids=[
        "port-behind-filed",
        "port-behind-unfiled",
        "nul",
        "ipv6-literal",
        "and-its-port",
        "ipv6-literal-without-brackets",
        "longer-one",
        "port-behind-ipv4",
    ],
)
def test_names_that_no_server_name_may_be_are_counted_as_such(
    bypass_stage: Stage, name: bytes, reason: str
) -> None:
    before = bypass_stage.gate.decisions(scheme="tls", verdict="block", reason=reason)
    expect_reset(bypass_stage, hello.hello(name))
    after = bypass_stage.gate.decisions(scheme="tls", verdict="block", reason=reason)
    assert after == before + 1


def test_connection_that_was_a_websocket_serves_no_other_host(
    bypass_stage: Stage, path: str
) -> None:
    """HTTP that follows a finished WebSocket on the same connection goes nowhere."""

    def tunnel(exchange: Exchange) -> None:
        exchange.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        exchange.hang_up()

    bypass_stage.origin.on(path, tunnel)
    with bypass_stage.http() as client:
        client.send(get("filed.com", path, "Connection: Upgrade", "Upgrade: websocket"))
        assert client.read_head()[0] == 101
        with contextlib.suppress(OSError):
            client.send(get("filed.com", path + "after") + get("unfiled.com", path + "after"))
        with contextlib.suppress(OSError):
            assert client.read_to_end() == b""
    bypass_stage.settle()
    assert bypass_stage.origin.about(path + "after") == []


def test_hello_for_a_filed_name_with_the_unfiled_one_behind_is_the_filed_origins(
    bypass_stage: Stage,
) -> None:
    """A second hello behind the first goes where the first went: to the filed origin alone."""
    data = hello.hello(RAW) + hello.hello(UNFILED)
    arrivals = len(bypass_stage.tls_origin.arrivals)
    with bypass_stage.tls() as client:
        client.send(data)
        assert client.read_exact(len(data)) == data
    assert len(bypass_stage.tls_origin.arrivals) == arrivals


def test_resumption_does_not_carry_a_verdict(bypass_stage: Stage) -> None:
    """The same session id and ticket bytes with another name are judged by that name."""
    ticket = hello.extension(35, b"t" * 160)
    with bypass_stage.tls() as client:
        sent = hello.hello(RAW, ticket)
        client.send(sent)
        client.read_exact(len(sent))
    expect_reset(bypass_stage, hello.hello(UNFILED, ticket))
    expect_reset(bypass_stage, hello.hello(None, ticket))


def test_http_then_tls_on_one_connection(bypass_stage: Stage, path: str) -> None:
    with bypass_stage.http() as client:
        assert client.ask(get("filed.com", path)).status == 200
        sent = hello.hello(UNFILED, hello.padding(1313))
        client.send(sent)
        answers = client.read_all_responses()
    assert [answer.status for answer in answers] == [400]
    bypass_stage.settle()
    assert not bypass_stage.origin.saw(sent[:100])
    assert not bypass_stage.tls_origin.saw(sent[:100])


def test_tls_then_http_stays_in_the_tunnel_of_the_filed_name(
    bypass_stage: Stage, path: str
) -> None:
    data = hello.hello(RAW) + get("unfiled.com", path)
    with bypass_stage.tls() as client:
        client.send(data)
        assert client.read_exact(len(data)) == data  # the filed origin's echo
    assert bypass_stage.origin.about(path) == []


def test_protocols_mixed_within_the_first_bytes(bypass_stage: Stage, path: str) -> None:
    request = get("filed.com", path)
    for prefix in (b"\x16", b"\x16\x03\x01", b"\x80", b"\x00", b"\xff", BASE[:9], b"\x15\x03\x01"):
        for listener in ("tls", "http"):
            with bypass_stage.tls(listener) as client:
                client.send(prefix + request)
                with contextlib.suppress(OSError):
                    client.finish()
                    client.read_to_end()
                assert b" 200 " not in client.received
    bypass_stage.settle()
    assert bypass_stage.origin.about(path) == []

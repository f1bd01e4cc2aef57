"""Rows of enforcement.md, TLS: hellos of every shape, judged as one or reset."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.harness import filings, hello
from tests.harness.client import Client
from tests.harness.stage import Stage
from tests.harness.waiting import patience

RAW = filings.TO_RAW.encode()  # its upstream echoes, so that what passed comes back
UNFILED = b"unfiled.com"


def segments(client: Client, data: bytes, sizes: list[int]) -> None:
    """Send `data` cut into pieces of the given sizes (the last size repeats), apart in time."""
    at = 0
    for number in range(len(data)):
        if at >= len(data):
            return
        size = sizes[min(number, len(sizes) - 1)]
        try:
            client.send(data[at : at + size])
        except (ConnectionResetError, BrokenPipeError):
            return
        at += size
        time.sleep(0.0005)  # lets the gate read the piece by itself


def expect_echo(client: Client, sent: bytes) -> None:
    assert client.read_exact(len(sent)) == sent


SHAPES: dict[str, Callable[[bytes], bytes]] = {
    "one-record": hello.hello,
    "records-of-one-octet": lambda name: hello.hello(name, size=1),
    "records-of-seven-octets": lambda name: hello.hello(name, size=7),
    "large-key-share": lambda name: hello.records(
        hello.handshake(hello.server_name(name) + hello.COMMON + hello.key_share(1216))
    ),
    "larger-than-a-record": lambda name: hello.hello(name, hello.padding(20_000)),
    "sixty-thousand-octets": lambda name: hello.hello(name, hello.padding(60_000)),
    "with-ech": lambda name: hello.hello(name, hello.encrypted_client_hello()),
    "padded": lambda name: hello.hello(name, hello.padding(300)),
    "unknown-extension": lambda name: hello.hello(name, hello.extension(0x2A2A, b"\x00")),
    "server-name-last": lambda name: hello.records(
        hello.handshake(hello.COMMON + hello.key_share() + hello.server_name(name))
    ),
    "no-session-id": lambda name: hello.records(
        hello.handshake(hello.server_name(name) + hello.COMMON, session=b"")
    ),
    "record-version-3.3": lambda name: hello.record(
        hello.handshake(hello.server_name(name) + hello.COMMON), version=b"\x03\x03"
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_filed_hello_of_any_shape_passes_unchanged(
    stage: Stage, shape: Callable[[bytes], bytes]
) -> None:
    sent = shape(RAW)
    with stage.tls() as client:
        client.send(sent)
        expect_echo(client, sent)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_unfiled_hello_of_any_shape_is_reset(stage: Stage, shape: Callable[[bytes], bytes]) -> None:
    with stage.no_tunnel(), stage.tls() as client:
        client.send(shape(UNFILED))
        client.expect_reset()


@pytest.mark.parametrize("sizes", [[1], [5, 1], [4, 1000], [10, 3], [100]])
def test_hello_in_many_segments_is_judged_as_one(stage: Stage, sizes: list[int]) -> None:
    sent = hello.hello(RAW)
    with stage.tls() as client:
        segments(client, sent, sizes)
        expect_echo(client, sent)
    with stage.no_tunnel(), stage.tls() as client:
        segments(client, hello.hello(UNFILED), sizes)
        client.expect_reset()


def test_hello_in_small_records_and_segments_one_octet_at_a_time(stage: Stage) -> None:
    sent = hello.hello(RAW, size=3)
    with stage.tls() as client:
        segments(client, sent, [1])
        expect_echo(client, sent)


def raw_server_name(body: bytes) -> bytes:
    return hello.extension(hello.Extension.SERVER_NAME, body)


def wrong_length(name: bytes, *, outer: int = 0, inner: int = 0) -> bytes:
    entry = b"\x00" + (len(name) + inner).to_bytes(2, "big") + name
    return raw_server_name((len(entry) + outer).to_bytes(2, "big") + entry)


filed, other = hello.server_name(RAW), hello.server_name(UNFILED)
MALFORMED = {
    "two-server-name-extensions": filed + other,
    "two-equal-server-name-extensions": filed + filed,
    "two-host-names-in-the-list": hello.server_name(RAW, UNFILED),
    "two-equal-host-names-in-the-list": hello.server_name(RAW, RAW),
    "list-longer-than-its-extension": wrong_length(RAW, outer=1),
    "list-shorter-than-its-extension": wrong_length(RAW, outer=-1),
    "name-longer-than-its-list": wrong_length(RAW, inner=1),
    "name-shorter-than-its-list": wrong_length(RAW, inner=-1),
    "trailing-byte-in-the-extension": raw_server_name(
        hello.vector(b"\x00" + hello.vector(RAW, 2), 2) + b"\x00"
    ),
    "name-with-nul": hello.server_name(RAW + b"\x00.unfiled.com"),
    "name-that-begins-with-nul": hello.server_name(b"\x00" + RAW),
    "name-with-line-end": hello.server_name(RAW + b"\r\n"),
    "name-with-space": hello.server_name(b" " + RAW),
}
NAMELESS = {
    "no-server-name": b"",
    "empty-extension": raw_server_name(b""),
    "empty-host-name": hello.server_name(b""),
    "empty-list": raw_server_name(b"\x00\x00"),
}


@pytest.mark.parametrize("extensions", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_server_name_is_reset_and_counted(stage: Stage, extensions: bytes) -> None:
    before = stage.gate.decisions(reason="malformed")
    with stage.no_tunnel(), stage.tls() as client:
        client.send(hello.records(hello.handshake(extensions + hello.COMMON)))
        client.expect_reset()
    assert stage.gate.decisions(reason="malformed") == before + 1


@pytest.mark.parametrize("extensions", NAMELESS.values(), ids=NAMELESS.keys())
def test_hello_without_a_name_is_reset_and_counted(stage: Stage, extensions: bytes) -> None:
    before = stage.gate.decisions(reason="no_sni")
    bad = stage.gate.decisions(reason="malformed")
    with stage.tls() as client:
        client.send(hello.records(hello.handshake(extensions + hello.COMMON)))
        client.expect_reset()
    counted = stage.gate.decisions(reason="no_sni") - before
    counted += stage.gate.decisions(reason="malformed") - bad
    assert counted == 1


def test_hello_without_extensions_is_reset(stage: Stage) -> None:
    with stage.tls() as client:
        client.send(hello.records(hello.handshake(None)))
        client.expect_reset()


def test_ip_address_as_server_name_is_reset_as_ip_host(stage: Stage) -> None:
    before = stage.gate.decisions(reason="ip_host")
    with stage.tls() as client:
        client.send(hello.hello(b"127.0.0.1"))
        client.expect_reset()
    assert stage.gate.decisions(reason="ip_host") == before + 1


def test_presence_of_ech_is_counted(stage: Stage) -> None:
    before = stage.gate.total("gate_tls_ech_total")
    with stage.tls() as client:
        sent = hello.hello(RAW, hello.encrypted_client_hello())
        client.send(sent)
        expect_echo(client, sent)
    assert stage.gate.total("gate_tls_ech_total") == before + 1


SSLV2 = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80" * 7 + b"c" * 16
WRONG = {
    "sslv2-hello": (SSLV2, "sslv2"),
    "garbage": (b"\x00\xffgarbage that is neither TLS nor HTTP" * 3, "not_tls"),
    "one-byte-of-garbage": (b"\xff", "not_tls"),
    "alert-first": (hello.record(b"\x02\x28", kind=21), "not_handshake"),
    "application-data-first": (hello.record(b"x" * 40, kind=23), "not_handshake"),
    "server-hello": (hello.record(b"\x02" + hello.handshake(b"")[1:]), "not_client_hello"),
    "record-version-2": (hello.record(hello.handshake(filed), version=b"\x02\x00"), "bad_version"),
    "record-too-long": (b"\x16\x03\x01\xff\xff" + bytes(65535), "bad_lengths"),
    "handshake-too-long": (hello.record(b"\x01\xff\xff\xff" + bytes(100)), "too_large"),
    "extensions-length-too-long": (
        hello.record(
            hello.handshake(None)[:1]
            + hello.vector(hello.handshake(None)[4:] + b"\xff\xff" + filed, 3)
        ),
        "bad_lengths",
    ),
    "larger-than-the-limit": (hello.oversized(filed), "too_large"),
    "too-many-records": (hello.record(b"") * 5000, "too_many_records"),
    "two-names": (hello.records(hello.handshake(filed + other)), "two_names"),
    "an-extension-twice": (
        hello.records(hello.handshake(filed + 2 * hello.extension(0x2A2A, b""))),
        "duplicate_extension",
    ),
    "a-name-of-another-type": (
        hello.records(hello.handshake(raw_server_name(hello.vector(b"\x01\x00\x01a", 2)))),
        "unknown_name_type",
    ),
}


IN_PIECES = {name: case for name, case in WRONG.items() if case[0].startswith(b"\x16")}


@pytest.mark.parametrize(("data", "kind"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_client_hello_is_reset_and_counted_by_kind(
    stage: Stage, data: bytes, kind: str
) -> None:
    malformed, counted = stage.gate.decisions(reason="malformed"), by_kind(stage)
    with stage.tls() as client:
        try:
            client.send(data)
        except (ConnectionResetError, BrokenPipeError):
            pass  # reset before the last byte was written
        else:
            client.expect_reset()
    assert stage.gate.decisions(reason="malformed") == malformed + 1
    assert by_kind(stage) == counted | {kind: counted.get(kind, 0) + 1}


@pytest.mark.parametrize(("data", "kind"), IN_PIECES.values(), ids=IN_PIECES.keys())
def test_what_is_no_client_hello_is_counted_by_kind_in_pieces(
    stage: Stage, data: bytes, kind: str
) -> None:
    counted = by_kind(stage)
    with stage.tls() as client:
        segments(client, data, [1, 4, 1000])
        client.expect_closed()
    assert by_kind(stage) == counted | {kind: counted.get(kind, 0) + 1}


def test_a_hello_that_the_client_breaks_off_is_counted_as_truncated(stage: Stage) -> None:
    counted = by_kind(stage)
    with stage.tls() as client:
        client.send(hello.hello(RAW)[:-5])
        client.finish()
        client.expect_reset()
    assert by_kind(stage) == counted | {"truncated": counted.get("truncated", 0) + 1}


def test_what_only_monitoring_lets_through_is_counted_by_kind_all_the_same(stage: Stage) -> None:
    sent, kind = WRONG["two-names"]
    monitored, counted = stage.gate.decisions(verdict="monitor"), by_kind(stage)
    with stage.tls("tls-monitor") as client:
        client.send(sent)
        client.fill()  # the origin has the last word on it
    assert stage.gate.decisions(verdict="monitor") == monitored + 1
    assert by_kind(stage) == counted | {kind: counted.get(kind, 0) + 1}


def by_kind(stage: Stage) -> dict[str, float]:
    """How many connections had malformed first bytes, by what was wrong with them."""
    return stage.gate.by_label("gate_first_bytes_malformed_total", "kind")


@pytest.mark.parametrize(
    "part",
    [b"", hello.hello(RAW)[:3], hello.hello(RAW)[:40], hello.hello(RAW)[:-1], hello.record(b"")],
    ids=["silence", "three-bytes", "half", "all-but-one-byte", "empty-record"],
)
def test_hello_that_is_not_complete_in_time_is_reset(impatient_stage: Stage, part: bytes) -> None:
    before = impatient_stage.gate.decisions(reason="timeout")
    with impatient_stage.tls() as client:
        client.send(part)
        client.expect_reset()
    assert impatient_stage.gate.decisions(reason="timeout") == before + 1


def test_truncated_hello_and_fin_is_reset(stage: Stage) -> None:
    with stage.tls() as client:
        client.send(hello.hello(RAW)[:-5])
        client.finish()
        client.expect_reset()


def test_drip_of_hello_bytes_does_not_extend_the_time(impatient_stage: Stage) -> None:
    with impatient_stage.tls() as client:
        started = time.monotonic()
        for octet in hello.hello(RAW):
            try:
                client.send(bytes([octet]))
            except (ConnectionResetError, BrokenPipeError):
                break
            time.sleep(0.05)
        else:
            raise AssertionError("a hello that took 10 s was accepted")
        assert time.monotonic() - started < patience(5)

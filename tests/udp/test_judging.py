"""Which QUIC connections pass, and what a client is told: against the running gate.

The raw upstream keeps every datagram, so each test knows exactly what reached it.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable

import pytest

from gate.wire.quic import pull_invariant_header
from tests.harness import filings
from tests.harness.hello import encrypted_client_hello, extension
from tests.harness.initial import (
    V1,
    V2,
    Initials,
    client_hello,
    crypto,
    long_header,
    pieces,
)
from tests.harness.quic_stage import QuicStage

pytestmark = pytest.mark.programs

RAW = filings.TO_RAW
CLOSE = b"\x1c\x02"
"""A CONNECTION_CLOSE with CONNECTION_REFUSED."""


def zero_rtt(sending: Initials, size: int = 400) -> bytes:
    head = long_header("zero_rtt", sending.dcid, sending.scid, size=size)
    return head + secrets.token_bytes(size - 4)


# What passes.


def test_a_filed_name_passes_unchanged(stage: QuicStage) -> None:
    before = len(stage.raw.arrivals)
    passed = stage.gate.decisions(scheme="quic", verdict="pass", reason="filed")
    datagram = Initials().hello(RAW)
    with stage.client() as client:
        client.send(datagram)
        assert stage.raw.wait_for(before + 1)[before:] == [datagram]
    assert stage.gate.decisions(scheme="quic", verdict="pass", reason="filed") == passed + 1


def over_datagrams(seed: int, sending: Initials) -> list[bytes]:
    """A hello in some twenty shuffled pieces over two datagrams, as Chromium sends it."""
    hello = client_hello(RAW, extension(51, secrets.token_bytes(1216)))
    frames = [crypto(at, data) for at, data in pieces(hello, 90)]
    random.Random(seed).shuffle(frames)
    half = len(frames) // 2
    return [
        sending.datagram(b"\x01" + b"\0\0".join(frames[:half])),
        sending.datagram(b"".join(frames[half:])),
    ]


SEVERAL: dict[str, Callable[[Initials], list[bytes]]] = {
    "shuffled pieces in two datagrams (sing-box#1724, AdGuard CoreLibs#1861)": lambda sending: (
        over_datagrams(1, sending)
    ),
    "the same with the second datagram first (nDPI#1195)": lambda sending: over_datagrams(
        2, sending
    )[::-1],
    "each datagram twice": lambda sending: [
        one for one in over_datagrams(3, sending) for _ in range(2)
    ],
    "16 datagrams": lambda sending: [
        sending.datagram(crypto(at, data)) for at, data in pieces(client_hello(RAW), 7)
    ],
    "0-RTT beside the Initial (nDPI#1044)": lambda sending: [
        zero_rtt(sending) + sending.datagram(crypto(0, client_hello(RAW)))
    ],
    "0-RTT behind the first half of a hello": lambda sending: [
        (halves := over_datagrams(4, sending))[0],
        zero_rtt(sending, 900),
        zero_rtt(sending, 800),
        halves[1],
        zero_rtt(sending, 700),
    ],
    "version 2": lambda sending: [
        Initials(sending.dcid, sending.scid, version=V2).hello(RAW),
    ],
    "a token": lambda sending: [Initials(sending.dcid, token=secrets.token_bytes(60)).hello(RAW)],
    "65,000 bytes": lambda sending: [
        sending.datagram(crypto(0, client_hello(RAW)), size=1400) + bytes(60_000)
    ],
}


@pytest.mark.parametrize("case", SEVERAL)
def test_a_filed_hello_passes_however_it_is_sent(stage: QuicStage, case: str) -> None:
    before = len(stage.raw.arrivals)
    datagrams = SEVERAL[case](Initials())
    with stage.client() as client:
        client.send(*datagrams)
        assert stage.raw.wait_for(before + len(datagrams))[before:] == datagrams


@pytest.mark.parametrize("name", ["TO-RAW.COM", "to-raw.com."])
def test_names_are_canonical(stage: QuicStage, name: str) -> None:
    before = len(stage.raw.arrivals)
    with stage.client() as client:
        client.send(Initials().hello(name))
        stage.raw.wait_for(before + 1)


# What is refused.

REFUSED = {
    "unfiled": (filings.UNFILED, "unfiled"),
    "below an unfiled name": (f"www.{filings.UNFILED}", "unfiled"),
    "filed elsewhere": (filings.ELSEWHERE, "filed_elsewhere"),
    "suspended": (filings.SUSPENDED, "suspended"),
    "revoked": (filings.REVOKED, "revoked"),
    "stopped by an operator": (filings.STOPPED, "suspended"),
    "an IP literal": ("192.0.2.1", "ip_host"),
    "no server name": (None, "no_sni"),
}


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_blocked_is_told_at_once(stage: QuicStage, case: str, version: int) -> None:
    name, reason = REFUSED[case]
    before = stage.gate.decisions(scheme="quic", verdict="block", reason=reason)
    sending = Initials(version=version)
    with stage.nothing_passes(), stage.client() as client:
        client.send(sending.hello(name))
        answer = client.receive()
        assert len(answer) == 1200  # picoquic#2016: an unpadded close was ignored
        ((_, frames),) = sending.answers(answer)
        assert frames.rstrip(b"\0") == CLOSE
        assert pull_invariant_header(answer).dcid == sending.scid
        assert client.drain(0.1) == []
    assert stage.gate.decisions(scheme="quic", verdict="block", reason=reason) == before + 1


def test_a_blocked_hello_over_two_datagrams_is_told_once_it_is_known(stage: QuicStage) -> None:
    hello = client_hello(filings.UNFILED)
    sending = Initials()
    with stage.nothing_passes(), stage.client() as client:
        client.send(sending.datagram(crypto(60, hello[60:])))
        assert client.drain(0.2) == []
        client.send(sending.datagram(crypto(0, hello[:60])))
        ((_, frames),) = sending.answers(client.receive())
        assert frames.rstrip(b"\0") == CLOSE


def test_a_refusal_is_answered_three_times_in_ten_seconds(stage: QuicStage) -> None:
    sending = Initials()
    before = stage.gate.decisions(scheme="quic", verdict="block")
    with stage.nothing_passes(), stage.client() as client:
        for _ in range(6):
            client.send(sending.hello(filings.UNFILED))
        answers = client.drain(0.3)
    assert len(answers) == 3
    # The connection is the same one, however often its client repeats itself.
    assert stage.gate.decisions(scheme="quic", verdict="block") == before + 1


def test_ech_is_judged_by_its_outer_name(stage: QuicStage) -> None:
    before = len(stage.raw.arrivals), stage.gate.total("gate_tls_ech_total")
    with stage.client() as client:
        client.send(Initials().hello(RAW, more=encrypted_client_hello()))
        stage.raw.wait_for(before[0] + 1)
        sending = Initials()
        client.send(sending.hello(filings.UNFILED, more=encrypted_client_hello()))
        assert sending.answers(client.receive())
    assert stage.gate.total("gate_tls_ech_total") == before[1] + 2


# What is malformed: dropped, and counted.

D, S = b"d" * 8, b"s" * 8
HELLO = client_hello(RAW)


def other_byte(at: int) -> bytes:
    return HELLO[:at] + bytes([HELLO[at] ^ 1]) + HELLO[at + 1 :]


MALFORMED: dict[str, tuple[Callable[[Initials], list[bytes]], str]] = {
    "CRYPTO bytes that overlap and differ": (
        lambda sending: [
            sending.datagram(crypto(10, HELLO[10:90])),
            sending.datagram(crypto(0, other_byte(12))),
        ],
        "malformed",
    ),
    "a frame that no Initial has": (
        lambda sending: [sending.datagram(crypto(0, HELLO) + b"\x08\x00\x00\x00")],
        "malformed",
    ),
    "no ClientHello": (
        lambda sending: [sending.datagram(crypto(0, b"\x02" + HELLO[1:]))],
        "malformed",
    ),
    "two names": (
        lambda sending: [
            sending.datagram(crypto(0, client_hello(RAW, extension(0, b"\0\x07\0\0\x04a.cn"))))
        ],
        "malformed",
    ),
    "a server name with a port": (lambda sending: [sending.hello(f"{RAW}:443")], "malformed"),
    "a claimed length of the hello over 16 KiB": (
        lambda sending: [sending.datagram(crypto(0, b"\x01\x00\x40\x00" + HELLO[4:]))],
        "limit",
    ),
    "a claimed offset over 16 KiB (suricata#12591)": (
        lambda sending: [sending.datagram(crypto(1 << 30, HELLO))],
        "limit",
    ),
    "17 datagrams": (
        lambda sending: [
            sending.datagram(crypto(at, data))
            for at, data in pieces(client_hello(RAW, extension(21, bytes(500))), 9)[:17]
        ],
        "limit",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_cannot_be_judged_is_blocked(stage: QuicStage, case: str) -> None:
    build, reason = MALFORMED[case]
    sending = Initials()
    before = stage.gate.decisions(listener="quic", verdict="block", reason=reason)
    with stage.nothing_passes(), stage.client() as client:
        client.send(*build(sending))
        # Malformed is no client's doing, and is dropped; that there is too much is told.
        assert len(client.drain(0.2)) == (0 if reason == "malformed" else 1)
    assert stage.gate.decisions(listener="quic", verdict="block", reason=reason) == before + 1


DROPPED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a datagram of 1,199 bytes": (
        lambda: Initials().datagram(crypto(0, HELLO), size=1199),
        "small_datagram",
    ),
    "13 bytes (Xray-core#6232)": (lambda: Initials().hello(RAW)[:13], "truncated"),
    "one byte": (lambda: b"\xc0", "truncated"),
    "a Length beyond the datagram (Xray-core#6471)": (
        lambda: Initials().hello(RAW)[:-1],
        "bad_length",
    ),
    "a connection ID of 7 bytes": (lambda: Initials(b"d" * 7).hello(RAW), "bad_connection_id"),
    "a connection ID of 21 bytes": (lambda: Initials(b"d" * 21).hello(RAW), "bad_connection_id"),
    "what does not decrypt": (lambda: Initials(keyed=b"x" * 8).hello(RAW), "undecryptable"),
    "two connections' Initials": (
        lambda: Initials(D, S).packet(crypto(0, HELLO)) + Initials(b"e" * 8, S).hello(RAW),
        "two_connections",
    ),
    "0-RTT without an Initial": (
        lambda: long_header("zero_rtt", D, S, size=1200) + bytes(1196),
        "no_flow",
    ),
    "a Handshake packet of nobody": (
        lambda: long_header("handshake", D, S, size=1200) + bytes(1196),
        "no_flow",
    ),
    "a 1-RTT packet of nobody": (lambda: b"\x40" + bytes(60), "no_flow"),
    "a Retry, which has no Length (rustnet#453)": (
        lambda: b"\xf0\0\0\0\x01\x08" + D + b"\x08" + S + secrets.token_bytes(1200),
        "not_for_servers",
    ),
    "Version Negotiation, which has no Length (rustnet#453)": (
        lambda: b"\xc0\0\0\0\0\x08" + D + b"\x08" + S + b"\0\0\0\x01" * 300,
        "unknown_version",
    ),
    "an unknown version in a small datagram": (
        lambda: b"\xc0\x0a\x0a\x0a\x0a\x08" + D + b"\x08" + S + bytes(1000),
        "unknown_version",
    ),
}


@pytest.mark.parametrize("case", DROPPED)
def test_what_no_client_sends_is_dropped_without_a_trace(stage: QuicStage, case: str) -> None:
    build, cause = DROPPED[case]
    flows = stage.flows("held")
    with stage.nothing_passes(), stage.client() as client:
        before = stage.dropped(cause)
        decisions = stage.gate.decisions(scheme="quic")
        client.send(build())
        stage.wait_until_dropped(cause, before)
        assert client.drain(0.05) == []
        assert stage.gate.decisions(scheme="quic") == decisions
        assert stage.flows("held") <= flows


def test_an_empty_datagram_does_nothing(stage: QuicStage) -> None:
    with stage.client() as client:
        client.send(b"")
        stage.settle()


# Versions.


@pytest.mark.parametrize("version", [0x0A0A0A0A, 0xFF00001D, 0x709A50C4, 0x51303530])
def test_an_unknown_version_is_answered_by_those_that_are_known(
    stage: QuicStage, version: int
) -> None:
    dcid, scid = secrets.token_bytes(20), secrets.token_bytes(17)
    asked = b"\xc0" + version.to_bytes(4, "big") + b"\x14" + dcid + b"\x11" + scid
    with stage.nothing_passes(), stage.client() as client:
        flows = stage.flows()
        client.send(asked.ljust(1200, b"?"))
        answer = client.receive()
        header = pull_invariant_header(answer)
        assert (header.version, header.dcid, header.scid) == (0, scid, dcid)
        assert answer[header.end :] == bytes.fromhex("000000016b3343cf")
        assert stage.flows() <= flows


# One address, several connections.


def test_another_connection_on_the_same_port_is_judged_by_itself(stage: QuicStage) -> None:
    """Xray-core#4704: a port that was used for one name was taken for that name ever after."""
    before = len(stage.raw.arrivals)
    with stage.opened() as (client, gate):
        sending = Initials()
        client.send(sending.hello(filings.UNFILED))
        ((_, frames),) = sending.answers(client.receive())
        assert frames.rstrip(b"\0") == CLOSE
        assert len(stage.raw.of(gate, since=before)) == 1


def test_a_later_connection_id_is_a_connection_of_its_own(stage: QuicStage) -> None:
    """nDPI#2278: a later Initial with another ID was not looked at."""
    with stage.opened() as (client, gate):
        before = len(stage.raw.arrivals)
        again = Initials().hello(f"other.{RAW}")
        client.send(again)
        stage.raw.wait_for(before + 1)
        sender, datagram = stage.raw.arrivals[before]
        assert datagram == again
        assert sender != gate, "two connections share a socket"


# Modes.


def test_monitoring_lets_everything_pass_and_counts_it(stage: QuicStage) -> None:
    before = len(stage.raw.arrivals)
    counted = stage.gate.decisions(listener="quic-monitor", verdict="monitor", reason="unfiled")
    datagram = Initials().hello(filings.UNFILED)
    with stage.client("quic-monitor") as client:
        client.send(datagram)
        assert stage.raw.wait_for(before + 1)[before:] == [datagram]
        assert client.drain(0.1) == []
    assert (
        stage.gate.decisions(listener="quic-monitor", verdict="monitor", reason="unfiled")
        == counted + 1
    )


def test_the_line_on_a_decision_names_quic(stage: QuicStage) -> None:
    name = f"{secrets.token_hex(4)}.{filings.UNFILED}"
    sending = Initials()
    with stage.client() as client:
        client.send(sending.hello(name))
        client.receive()
    stage.wait_for_log(f"block unfiled {name} from 127.0.0.1 on quic quic")

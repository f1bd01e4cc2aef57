"""Rows of enforcement.md, TLS: the second ClientHello, which a HelloRetryRequest asks for."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.wire.hello_retry import asks_again
from tests.harness import filings, hello
from tests.harness.certificates import Certificates
from tests.harness.client import Client
from tests.harness.gate_process import Gate, listener
from tests.harness.ports import free_port
from tests.harness.retry import first_hello, second_hello
from tests.harness.running import fill
from tests.harness.stage import Stage
from tests.harness.tools import require
from tests.harness.waiting import wait_for

NAME = filings.TO_RETRY.encode()
OTHER = b"other." + NAME  # filed as well, and with the same upstream
UNFILED = b"unfiled.com"
CCS = hello.record(b"\x01", kind=20, version=b"\x03\x03")
EARLY = hello.record(b"e" * 100, kind=23, version=b"\x03\x03")
HAS_EARLY = hello.extension(42, b"")  # announces it (RFC 8446 4.2.10)


def again(name: bytes | None, size: int = 16384) -> bytes:
    """The client's second flight (RFC 8446 D.4)."""
    return CCS + hello.records(second_hello(name), size)


def asked(client: Client, *more: bytes) -> None:
    """Send a first hello, and be asked for another."""
    client.send(first_hello(NAME, *more))
    answer = client.read_some()
    while len(answer) < 43:
        answer += client.read_some()
    assert asks_again(answer)


def server_hello(client: Client) -> bool:
    """Whether the server has taken the second hello: it goes on with its handshake."""
    data = client.read_some()
    while len(data) < 600:
        data += client.read_some()
    return data.find(b"\x16\x03\x03") >= 0


@contextlib.contextmanager
def never_seen(stage: Stage, name: bytes) -> Iterator[None]:
    """No origin is sent this name, nor takes it for the one asked for, within this block."""
    before = len(stage.retry_origin.arrivals)
    names = len(stage.retry_origin.server_names)
    yield
    wait_for(
        lambda: all(one.ended.is_set() for one in stage.retry_origin.arrivals[before:]),
        "the upstream's connection to end, too",
    )
    assert not any(name in one.received for one in stage.retry_origin.arrivals[before:])
    assert name.decode() not in stage.retry_origin.server_names[names:]


def test_the_origin_by_itself_takes_whatever_the_second_hello_names(stage: Stage) -> None:
    """What all this is about: without a gate the second name counts."""
    port = int(stage.retry_origin.address.rpartition(":")[2])
    with Client(port) as client:
        asked(client)
        client.send(again(UNFILED))
        assert server_hello(client)
    assert stage.retry_origin.server_names[-2:] == [NAME.decode(), UNFILED.decode()]


@pytest.mark.parametrize("listener", ["tls", "tls6"])
def test_a_real_client_that_is_asked_again_is_served(stage: Stage, listener: str) -> None:
    context = stage.certificates.client_context()
    before = len(stage.retry_origin.server_names)
    with (
        stage.tls(listener) as client,
        context.wrap_socket(client.sock, server_hostname=filings.TO_RETRY) as tls,
    ):
        assert tls.version() == "TLSv1.3"
        for number in range(3):
            tls.sendall(f"GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(f"/{number}".encode()):
                answer += tls.recv(4096)
    assert stage.retry_origin.server_names[before:] == [filings.TO_RETRY] * 2


def test_a_large_upload_after_a_second_hello_arrives(stage: Stage) -> None:
    context = stage.certificates.client_context()
    with (
        stage.tls() as client,
        context.wrap_socket(client.sock, server_hostname=filings.TO_RETRY) as tls,
    ):
        target = "/" + "u" * 500_000
        tls.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(target.encode()):
            answer += tls.recv(1 << 16)


@pytest.mark.parametrize(
    "name", [NAME, NAME.upper(), NAME + b"."], ids=["same", "upper-case", "trailing-dot"]
)
@pytest.mark.parametrize("size", [16384, 40])
def test_the_same_name_again_passes_unchanged(stage: Stage, name: bytes, size: int) -> None:
    sent = again(name, size)
    with stage.tls() as client:
        asked(client)
        client.send(sent)
        assert server_hello(client)
    assert any(bytes(one.received).endswith(sent) for one in stage.retry_origin.arrivals)


def test_the_same_name_again_in_single_bytes_passes(stage: Stage) -> None:
    with stage.tls() as client:
        asked(client)
        for octet in again(NAME):
            client.send(bytes([octet]))
        assert server_hello(client)


SECONDS = {
    "unfiled": (UNFILED, "unfiled", None),
    "none": (None, "no_sni", None),
    "another-that-is-filed": (OTHER, "malformed", "other_name"),
    "an-address": (b"127.0.0.1", "ip_host", None),
    "no-name": (b"two words", "malformed", None),
}


@pytest.mark.parametrize(("name", "reason", "fault"), SECONDS.values(), ids=SECONDS.keys())
@pytest.mark.parametrize("size", [16384, 40])
def test_another_name_in_the_second_hello_resets_both_sides(
    stage: Stage, name: bytes | None, reason: str, fault: str | None, size: int
) -> None:
    blocked = stage.gate.decisions(reason=reason, verdict="block")
    kinds = stage.gate.by_label("gate_first_bytes_malformed_total", "kind")
    passed = stage.gate.decisions(verdict="pass")
    with never_seen(stage, name or UNFILED), stage.tls() as client:
        asked(client)
        client.send(again(name, size))
        with pytest.raises(ConnectionResetError):
            client.fill()
    assert stage.gate.decisions(reason=reason, verdict="block") == blocked + 1
    assert stage.gate.decisions(verdict="pass") == passed + 1
    if fault:
        kinds[fault] = kinds.get(fault, 0) + 1
    assert stage.gate.by_label("gate_first_bytes_malformed_total", "kind") == kinds


def test_it_is_judged_behind_early_data_and_in_single_bytes(stage: Stage) -> None:
    with never_seen(stage, UNFILED), stage.tls() as client:
        asked(client, HAS_EARLY)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for octet in EARLY + CCS + EARLY + again(UNFILED):
                client.send(bytes([octet]))
        client.expect_cut()


EAGER = {
    "with-the-first": [first_hello(NAME) + again(UNFILED)],
    "with-the-first-without-ccs": [first_hello(NAME) + again(UNFILED)[len(CCS) :]],
    "behind-early-data": [first_hello(NAME, HAS_EARLY) + CCS + EARLY * 3 + again(UNFILED)],
    "cut-in-its-middle": [first_hello(NAME) + again(UNFILED)[:60], again(UNFILED)[60:]],
    "right-behind-the-first": [first_hello(NAME), again(UNFILED)],
    "in-pieces": [first_hello(NAME, HAS_EARLY), CCS[:3], CCS[3:] + EARLY, again(UNFILED)],
}


@pytest.mark.parametrize("pieces", EAGER.values(), ids=EAGER.keys())
def test_a_second_hello_that_does_not_wait_to_be_asked_for_is_judged_all_the_same(
    stage: Stage, pieces: list[bytes]
) -> None:
    with never_seen(stage, UNFILED), stage.tls() as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for piece in pieces:
                client.send(piece)
                time.sleep(0.001)
        client.expect_cut()
        assert b"\x16\x03\x03\x00" not in client.received[99:], "a server's second flight"


MALFORMED = {
    "another-message": CCS + hello.record(b"\x02\x00\x00\x00", version=b"\x03\x03"),
    "no-tls": b"GET / HTTP/1.1\r\n\r\n",
    "two-names": CCS + hello.record(hello.handshake(hello.server_name(NAME, UNFILED))),
    "heartbeat": hello.record(b"x", kind=24, version=b"\x03\x03") + again(NAME),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_second_hello_resets_both_sides(stage: Stage, sent: bytes) -> None:
    malformed = stage.gate.decisions(reason="malformed")
    with stage.tls() as client:
        asked(client)
        client.send(sent)
        client.expect_cut()
    assert stage.gate.decisions(reason="malformed") == malformed + 1


def test_a_second_hello_that_does_not_come_in_time_resets_both_sides(
    impatient_stage: Stage,
) -> None:
    timeouts = impatient_stage.gate.decisions(reason="timeout")
    with impatient_stage.tls() as client:
        asked(client)
        client.send(again(NAME)[:50])
        with pytest.raises(ConnectionResetError):
            client.fill()
    assert impatient_stage.gate.decisions(reason="timeout") == timeouts + 1


def test_a_client_that_leaves_instead_ends_both_sides(stage: Stage) -> None:
    before = len(stage.retry_origin.arrivals)
    with stage.tls() as client:
        asked(client)
        client.send(again(NAME)[:50])
        client.finish()
        client.read_to_end()
    (arrival,) = stage.retry_origin.arrivals[before:]
    assert arrival.ended.wait(10)


def test_where_only_monitored_another_name_passes_and_is_counted(stage: Stage) -> None:
    before = stage.gate.decisions(verdict="monitor", reason="unfiled")
    with stage.tls("tls-monitor") as client:
        asked(client)
        client.send(again(UNFILED))
        assert server_hello(client)
    assert stage.gate.decisions(verdict="monitor", reason="unfiled") == before + 1
    assert stage.retry_origin.server_names[-1] == UNFILED.decode()


def test_where_only_monitored_what_is_no_second_hello_passes(stage: Stage) -> None:
    sent = MALFORMED["heartbeat"]
    with stage.tls("tls-monitor") as client:
        asked(client)
        client.send(sent)
        with contextlib.suppress(ConnectionResetError):
            client.read_to_end()  # the origin has the last word on it
    assert any(bytes(one.received).endswith(sent) for one in stage.retry_origin.arrivals)


def test_early_data_is_held_until_the_origin_has_answered_and_then_arrives(stage: Stage) -> None:
    """The origin here is not asked again: what is not a second hello goes on as it came."""
    sent = hello.hello(filings.TO_RAW.encode()), CCS + EARLY, EARLY
    with stage.tls() as client:
        client.send(sent[0] + sent[1])
        client.send(sent[2])
        assert client.read_exact(sum(map(len, sent))) == b"".join(sent)


def test_openssl_with_early_data_is_served_though_it_is_asked_again(
    certificates: Certificates, tmp_path: Path
) -> None:
    """The session is resumed, the data refused, the hello sent again (RFC 8446 4.2.10)."""
    port, openssl = free_port(), require("openssl")
    gate = Gate(
        tmp_path,
        {
            "workers": 1,
            "listeners": [listener("tls", "tls")],
            "upstreams": {"default": {"tls": [f"127.0.0.1:{port}"]}},
        },
    )
    fill(gate)
    said = tmp_path / "said"
    with said.open("wb") as output:
        server = subprocess.Popen(
            [
                *(openssl, "s_server", "-accept", f"127.0.0.1:{port}", "-early_data"),
                *("-cert", str(certificates.chain), "-key", str(certificates.key)),
                *("-groups", "P-384"),
            ],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: b"ACCEPT" in said.read_bytes(), "openssl to listen")
        gate.start()
        session, data = tmp_path / "session", tmp_path / "data"
        data.write_bytes(b"early\n")
        command = [openssl, "s_client", "-connect", f"127.0.0.1:{gate.ports['tls']}"]
        command += ["-servername", "example.com", "-groups", "X25519:P-384"]
        ask([*command, "-sess_out", str(session)], b"first\n", said)
        ask([*command, "-sess_in", str(session), "-early_data", str(data)], b"second\n", said)
        assert b"Early data was rejected" in said.read_bytes()
        assert gate.decisions(verdict="pass") == 2
        assert gate.decisions(verdict="block") == 0
    finally:
        gate.stop()
        server.terminate()
        server.communicate()


def ask(command: list[str], line: bytes, said: Path) -> None:
    """Run a client that sends a line; return when the server has said it."""
    client = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert client.stdin is not None
        client.stdin.write(line)
        client.stdin.flush()
        wait_for(lambda: line in said.read_bytes(), "the line to arrive")
    finally:
        client.communicate()

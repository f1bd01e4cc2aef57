"""What QUIC may cost: numbers, bytes and times, and what happens where one is used up."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import filings
from tests.harness.certificates import Certificates
from tests.harness.datagrams import DatagramClient
from tests.harness.hello import encrypted_client_hello, extension
from tests.harness.initial import Initials, client_hello, crypto, pieces
from tests.harness.operating import change
from tests.harness.quic_stage import QuicStage
from tests.harness.quic_talk import Talk, talking
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.programs

RAW = filings.TO_RAW
CLOSE = b"\x1c\x02"


@pytest.fixture(scope="module")
def small_stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[QuicStage]:
    """A gate of one worker whose every bound is small."""
    stage = QuicStage(
        tmp_path_factory.mktemp("quic-small"),
        certificates,
        workers=1,
        limits={
            "hello_seconds": 0.5,
            "pending_bytes": 1 << 20,
            "quic_flows_per_worker": 40,
            "quic_flows_per_address": 12,
            "quic_unproven_flows": 30,
            "quic_idle_seconds": 1.0,
            "quic_answers_per_address": 5,
        },
    )
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def stage(small_stage: QuicStage) -> QuicStage:
    """The same, when nothing is left of the test before."""
    restart_with_no_flows(small_stage)
    return small_stage


def restart_with_no_flows(stage: QuicStage) -> None:
    """End every flow: each is of a name that is suspended for a moment."""
    path = f"/v1/overrides/{RAW}"
    change(stage.gate, "PUT", path, {"kind": "suspended", "reason": "test"})
    change(stage.gate, "DELETE", path, {"kind": "suspended", "reason": "test"})
    wait_for(lambda: stage.flows() == 0, "no flow", 15)


def hold(stage: QuicStage, client: DatagramClient, data: bytes = b"\x01\x00") -> Initials:
    """Send the start of a hello, whose rest is due."""
    sending = Initials()
    client.send(sending.datagram(crypto(0, data)))
    return sending


def proven(talk: Talk) -> None:
    talk.answer()
    talk.from_client(talk.short())


# Times.


def test_a_hello_must_be_complete_in_time(stage: QuicStage) -> None:
    before = stage.gate.decisions(verdict="block", reason="timeout")
    with stage.nothing_passes(), stage.client() as client:
        sending = hold(stage, client)
        ((_, frames),) = sending.answers(client.receive())
        assert frames.startswith(CLOSE)
    assert stage.gate.decisions(verdict="block", reason="timeout") == before + 1
    assert stage.gate.total("gate_pending_bytes") == 0


def test_a_hello_that_is_late_passes_where_the_listener_only_monitors(stage: QuicStage) -> None:
    """With no name to go by, it goes where names without a route go."""
    before = stage.gate.decisions(verdict="monitor", reason="timeout")
    with stage.client("quic-monitor") as client:
        hold(stage, client)
        wait_for(
            lambda: stage.gate.decisions(verdict="monitor", reason="timeout") == before + 1,
            "the decision",
        )


def test_a_silent_connection_is_forgotten(stage: QuicStage) -> None:
    before = stage.gate.total("gate_quic_flows_ended_total", cause="idle")
    with talking(stage) as talk:
        proven(talk)
        wait_for(
            lambda: stage.gate.total("gate_quic_flows_ended_total", cause="idle") == before + 1,
            "its end",
        )
        homeless = stage.dropped("no_flow")
        talk.client.send(talk.short())
        stage.wait_until_dropped("no_flow", homeless)


def test_a_server_that_speaks_keeps_a_connection_open(stage: QuicStage) -> None:
    with talking(stage) as talk:
        proven(talk)
        for _ in range(8):
            talk.from_server(b"\x41" + secrets.token_bytes(30))
            assert talk.client.drain(0.3) == []
        talk.from_client(talk.short())


def test_a_client_that_never_answers_has_ten_seconds(stage: QuicStage) -> None:
    """However long its server goes on, for the address may be forged."""
    ended = stage.gate.total("gate_quic_flows_ended_total", cause="unproven")
    with talking(stage) as talk:
        talk.from_server(talk.handshake())
        for _ in range(5):
            talk.from_server(talk.handshake())
            talk.client.drain(0.3)
        assert stage.flows("open") == 1
        wait_for(
            lambda: stage.gate.total("gate_quic_flows_ended_total", cause="unproven") == ended + 1,
            "its end",
            15,
        )


# Numbers.


def test_an_address_has_so_many_connections(stage: QuicStage) -> None:
    before = stage.gate.decisions(verdict="block", reason="limit")
    arrived = len(stage.raw.arrivals)
    with stage.client() as client:
        hellos = [Initials() for _ in range(12)]
        client.send(*(sending.hello(RAW) for sending in hellos))
        stage.raw.wait_for(arrived + 12)
        over = Initials()
        client.send(over.hello(RAW))
        ((_, frames),) = over.answers(client.receive())
        assert frames.startswith(CLOSE)
        with stage.client(source="127.0.0.44") as other:
            other.send(Initials().hello(RAW))
            stage.raw.wait_for(arrived + 13)
    assert stage.gate.decisions(verdict="block", reason="limit") == before + 1


def test_a_worker_has_so_many_connections(stage: QuicStage) -> None:
    talks = []
    clients = [stage.client(source=f"127.0.1.{n}") for n in range(1, 6)]
    try:
        for number in range(40):
            with talking(stage, client=clients[number % 5]) as talk:
                proven(talk)
                talks.append(talk)
            for each in talks:  # none may fall idle
                each.client.send(each.short())
        over = Initials()
        before = stage.gate.decisions(verdict="block", reason="limit")
        with stage.client(source="127.0.1.9") as client:
            client.send(over.hello(RAW))
            ((_, frames),) = over.answers(client.receive())
            assert frames.startswith(CLOSE)
        assert stage.gate.decisions(verdict="block", reason="limit") == before + 1
    finally:
        for client in clients:
            client.close()


def test_the_oldest_unproven_connection_gives_way(stage: QuicStage) -> None:
    ended = stage.gate.total("gate_quic_flows_ended_total", cause="unproven_limit")
    with talking(stage, source="127.0.2.1") as first:
        for number in range(30):
            with stage.client(source=f"127.0.3.{number + 1}") as client:
                client.send(Initials().hello(RAW))
        wait_for(
            lambda: (
                stage.gate.total("gate_quic_flows_ended_total", cause="unproven_limit") == ended + 1
            ),
            "the first one's end",
        )
        assert stage.flows() == 30
        homeless = stage.dropped("no_flow")
        first.client.send(first.short())
        stage.wait_until_dropped("no_flow", homeless)


def test_proven_connections_do_not_give_way(stage: QuicStage) -> None:
    with talking(stage, source="127.0.2.1") as talk:
        proven(talk)
        for number in range(60):
            with stage.client(source=f"127.0.4.{number + 1}") as client:
                client.send(Initials().hello(RAW))
            talk.from_client(talk.short())


def test_answers_to_one_address_are_bounded(stage: QuicStage) -> None:
    """Refusals and Version Negotiation go to addresses that may be forged."""
    suppressed = stage.gate.total("gate_quic_answers_total", kind="suppressed")
    with stage.client(source="127.0.5.1") as client:
        for number in range(30):
            if number % 2:
                client.send(Initials().hello(filings.UNFILED))
            else:
                client.send((b"\xc0\x0a\x0a\x0a\x0a\x00\x00").ljust(1200, b"?"))
        answers = client.drain(0.3)
    assert 5 <= len(answers) <= 10  # five a second, and the second may have ended meanwhile
    assert stage.gate.total("gate_quic_answers_total", kind="suppressed") >= suppressed + 20
    with stage.client(source="127.0.5.2") as client:
        client.send(Initials().hello(filings.UNFILED))
        client.receive()


# Bytes.


def test_held_datagrams_count_towards_the_budget(stage: QuicStage) -> None:
    """1 MiB is 873 datagrams of 1,200 bytes: more are not held, and nothing else suffers."""
    before = stage.gate.total("gate_quic_flows_ended_total", cause="pending_bytes")
    clients = [stage.client(source=f"127.0.6.{n + 1}") for n in range(3)]
    big = client_hello(RAW, extension(21, bytes(16_000)))
    try:
        for client in clients:
            for _ in range(10):
                sending = Initials()
                parts = pieces(big, 60)[:16]
                client.send(*(sending.datagram(crypto(at, data), size=4000) for at, data in parts))
        wait_for(
            lambda: stage.gate.total("gate_quic_flows_ended_total", cause="pending_bytes") > before,
            "a client that is refused",
        )
        assert stage.gate.total("gate_pending_bytes") <= 1 << 20
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: stage.gate.total("gate_pending_bytes") == 0, "the budget to be given back")


# Revocation and modes.


def test_what_is_suspended_is_cut_at_once(stage: QuicStage) -> None:
    with talking(stage) as talk, talking(stage, name=f"deep.{RAW}") as below:
        for each in (talk, below):
            proven(each)
        ended = stage.gate.total("gate_quic_flows_ended_total", cause="revoked")
        restart_with_no_flows(stage)
        assert stage.gate.total("gate_quic_flows_ended_total", cause="revoked") == ended + 2
        for name in (RAW, f"deep.{RAW}"):
            told = f", {name} is not allowed any more"
            wait_for(lambda told=told: told in stage.gate.log.read_text(), told)  # type: ignore[misc]
        homeless = stage.dropped("no_flow")
        talk.client.send(talk.short())
        stage.wait_until_dropped("no_flow", homeless)
        before = len(stage.raw.arrivals)
        again = Initials().hello(RAW)
        talk.client.send(again)  # filed again by now
        assert stage.raw.wait_for(before + 1)[before:] == [again]


def test_what_only_monitoring_let_through_ends_with_it(stage: QuicStage) -> None:
    with (
        talking(stage, listener="quic-monitor", name=filings.UNFILED) as waved,
        talking(stage, listener="quic-monitor") as filed,
    ):
        proven(waved)
        proven(filed)
        which = {"listener": "quic-monitor"}
        change(stage.gate, "PUT", "/v1/mode", {"mode": "enforce"} | which)
        try:
            homeless = stage.dropped("no_flow")
            waved.client.send(waved.short())
            stage.wait_until_dropped("no_flow", homeless)
            filed.from_client(filed.short())
        finally:
            change(stage.gate, "PUT", "/v1/mode", {"mode": "monitor"} | which)


# Policies.

POLICIES: dict[str, tuple[dict[str, Any], str | None, bytes, bool]] = {
    "ip_hosts: allow": ({"ip_hosts": "allow"}, "192.0.2.7", b"", True),
    "no_sni: allow": ({"no_sni": "allow"}, None, b"", True),
    "ech: block": ({"ech": "block"}, RAW, encrypted_client_hello(), False),
}


@pytest.mark.parametrize("case", POLICIES)
def test_policies_are_those_of_tls(tmp_path: Path, certificates: Certificates, case: str) -> None:
    policy, name, more, passes = POLICIES[case]
    stage = QuicStage(tmp_path, certificates, workers=1, policy=policy, everywhere=True)
    try:
        before = len(stage.raw.arrivals)
        sending = Initials()
        with stage.client() as client:
            client.send(sending.hello(name, more=more))
            if passes:
                stage.raw.wait_for(before + 1)
            else:
                assert sending.answers(client.receive())
                assert len(stage.raw.arrivals) == before
    finally:
        stage.close()


def test_a_refusal_may_be_silence(tmp_path: Path, certificates: Certificates) -> None:
    stage = QuicStage(tmp_path, certificates, workers=1, policy={"quic_refusal": "drop"})
    try:
        with stage.nothing_passes(), stage.client() as client:
            sending = Initials()
            for _ in range(3):
                client.send(sending.hello(filings.UNFILED))
            assert client.drain(0.3) == []
        assert stage.gate.decisions(verdict="block", reason="unfiled") == 1
        assert stage.dropped("refused") == 2
    finally:
        stage.close()

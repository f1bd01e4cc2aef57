"""What becomes of a QUIC connection that may pass: against the running gate."""

from __future__ import annotations

import secrets
import socket
from dataclasses import replace

import pytest

from tests.harness import filings
from tests.harness.initial import Initials, client_hello, crypto, long_header
from tests.harness.quic_stage import QuicStage
from tests.harness.quic_talk import Talk, talking
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.programs

RAW = filings.TO_RAW
ACK = b"\x02\x00\x00\x00\x00"


def test_everything_goes_both_ways_unchanged(stage: QuicStage) -> None:
    with talking(stage) as talk:
        talk.answer()
        for size in (30, 1200, 1452, 9000, 60_000):
            talk.from_client(talk.short(size))
            talk.from_server(b"\x41" + secrets.token_bytes(size - 1))


def test_rows_of_datagrams_keep_their_bounds(stage: QuicStage) -> None:
    """A row that one read brings goes on as the datagrams that it was."""
    with talking(stage) as talk:
        talk.answer()
        talk.from_client(talk.short())
        for sizes in ([1200] * 40 + [77], [1350] * 10, [100, 100, 300, 300, 50]):
            talk.all_from_client(*(talk.short(size) for size in sizes))
            talk.from_server(*(b"\x41" + secrets.token_bytes(size - 1) for size in sizes))


def segmented(sock: socket.socket, data: bytes, size: int) -> None:
    """Send `data` as datagrams of `size` bytes in one call, as clients do."""
    sock.sendmsg([data], [(17, 103, size.to_bytes(2, "little"))])


def test_a_row_that_was_sent_as_one_is_taken_as_one(stage: QuicStage) -> None:
    with talking(stage) as talk:
        talk.answer()
        talk.from_client(talk.short())
        before = len(stage.raw.of(talk.gate))
        row = [talk.short(1200) for _ in range(30)] + [talk.short(500)]
        segmented(talk.client.sock, b"".join(row), 1200)
        wait_for(lambda: len(stage.raw.of(talk.gate)) >= before + 31, "all of them")
        assert stage.raw.of(talk.gate)[before:] == row
        segmented_answer = [b"\x41" + secrets.token_bytes(1199) for _ in range(20)]
        stage.raw.sock.sendmsg(
            [b"".join(segmented_answer)], [(17, 103, (1200).to_bytes(2, "little"))], 0, talk.gate
        )
        for datagram in segmented_answer:
            assert talk.client.receive() == datagram


def test_an_initial_within_a_row_of_others_is_judged(stage: QuicStage) -> None:
    """A row may hold packets of several connections: none rides on another's verdict."""
    with talking(stage) as talk:
        talk.answer()
        talk.from_client(talk.short())
        before = len(stage.raw.of(talk.gate))
        refused = Initials()
        row = [talk.short(1200), refused.hello(filings.UNFILED), talk.short(1200)]
        segmented(talk.client.sock, b"".join(row), 1200)
        wait_for(lambda: len(stage.raw.of(talk.gate)) >= before + 2, "the other two")
        ((_, frames),) = refused.answers(talk.client.receive())
        assert frames.startswith(b"\x1c\x02")
        assert stage.raw.of(talk.gate)[before:] == [row[0], row[2]]


def test_answers_come_from_the_address_that_was_asked(stage: QuicStage) -> None:
    """haproxy#3503, quilkin#936: a machine of several addresses answered from another one."""
    for host in ("127.0.0.1", "127.0.0.7", "127.1.2.3"):
        # A connected socket hears nobody else.
        with talking(stage, listener="quic-any", host=host) as talk:
            talk.answer()
            talk.from_server(b"\x41" + secrets.token_bytes(50))
        with stage.client("quic-any", host=host) as client:
            refused = Initials()
            client.send(refused.hello(filings.UNFILED))
            assert refused.answers(client.receive())


def test_the_same_client_at_two_addresses_has_two_flows(stage: QuicStage) -> None:
    with talking(stage, listener="quic-any", host="127.0.0.1", source="127.0.0.9") as first:
        first.answer()
        port = first.client.sock.getsockname()[1]
        second = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The same source needs the first socket out of the way of its own answers.
        second.close()
        first.client.sock.connect(("127.0.0.8", stage.gate.ports["quic-any"]))
        assert first.client.sock.getsockname()[1] == port
        with talking(stage, client=first.client) as other:
            assert other.gate != first.gate
            other.answer()


# Connection IDs.


def test_several_connections_on_a_socket_go_to_their_own_servers(stage: QuicStage) -> None:
    with (
        talking(stage) as first,
        talking(stage, client=first.client) as second,
        talking(stage, client=first.client) as third,
    ):
        assert len({first.gate, second.gate, third.gate}) == 3
        for talk in (first, second, third):
            talk.answer()
        for talk in (third, first, second, first):
            talk.from_client(talk.short())
            talk.from_server(b"\x41" + secrets.token_bytes(60))


def test_an_id_that_nobody_could_read_goes_to_the_only_connection(stage: QuicStage) -> None:
    """A server gives its client more IDs in secret."""
    with talking(stage) as talk:
        talk.answer()
        talk.from_client(talk.short())
        for _ in range(3):
            talk.from_client(talk.short(cid=secrets.token_bytes(8)))
        talk.from_client(talk.short())


def test_a_server_may_choose_no_id_at_all(stage: QuicStage) -> None:
    with talking(stage, server_cid=b"") as talk:
        talk.answer()
        talk.from_client(b"\x40" + secrets.token_bytes(60))


@pytest.mark.parametrize("listener", ["quic", "quic-any"])
def test_a_client_whose_address_changed_goes_on(stage: QuicStage, listener: str) -> None:
    """NAT rebinding: the verdict stays, and the server sees a new address to validate."""
    with talking(stage, listener=listener) as talk:
        talk.answer()
        talk.from_client(talk.short())
        decisions = stage.gate.decisions(scheme="quic")
        for _ in range(6):  # which of the workers it comes to is chance
            moved = stage.gate.total("gate_quic_flows_moved_total")
            with stage.client(listener) as elsewhere:
                packet, before = talk.short(), len(stage.raw.arrivals)
                elsewhere.send(packet)
                gate = stage.raw.sender_of(packet)
                assert gate != talk.gate
                reply = b"\x41" + secrets.token_bytes(40)
                stage.raw.sock.sendto(reply, gate)
                assert elsewhere.receive() == reply
                again = talk.short()
                elsewhere.send(again)
                assert stage.raw.sender_of(again) == gate
                assert stage.raw.of(gate, since=before) == [packet, again]
            assert stage.gate.total("gate_quic_flows_moved_total") == moved + 1
        talk.from_client(talk.short())
        assert stage.gate.decisions(scheme="quic") == decisions


def test_a_known_id_from_elsewhere_is_no_way_for_another_name(stage: QuicStage) -> None:
    with talking(stage) as talk:
        talk.answer()
        talk.from_client(talk.short())
        with stage.client() as elsewhere:
            refused = Initials()
            refused_hello = refused.hello(filings.UNFILED)
            elsewhere.send(talk.short(), refused_hello)
            ((_, frames),) = refused.answers(elsewhere.receive())
            assert frames.startswith(b"\x1c\x02")
            assert refused_hello not in stage.raw.datagrams


# The upstream.


def test_an_upstream_where_nobody_is_closes_at_once(stage: QuicStage) -> None:
    sending = Initials()
    with stage.client() as client:
        client.send(sending.hello(filings.TO_REFUSED))
        ((_, frames),) = sending.answers(client.receive())
        assert frames.startswith(b"\x1c\x02")


def test_another_endpoint_of_the_pool_takes_the_place_of_one_that_is_down(stage: QuicStage) -> None:
    for _ in range(4):
        before = len(stage.second.arrivals)
        hello = Initials().hello(filings.TO_PAIR)
        with stage.client() as client:
            client.send(hello)
            assert stage.second.wait_for(before + 1)[before:] == [hello]


def test_version_negotiation_of_the_upstream_is_passed_on(stage: QuicStage) -> None:
    """rustnet#453: such a packet has no length, and is no long header like others."""
    with talking(stage) as talk:
        sending = talk.sending
        offered = b"\xc0\0\0\0\0\x08" + sending.scid + b"\x08" + sending.dcid + b"\x6b\x33\x43\xcf"
        talk.from_server(offered)


# Retry.


def retry_packet(talk: Talk, cid: bytes, token: bytes) -> bytes:
    head = b"\xf0\0\0\0\x01\x08" + talk.sending.scid + bytes([len(cid)]) + cid + token
    return head + secrets.token_bytes(16)  # for the client to check


def test_a_retry_is_passed_on_and_the_hello_judged_again(stage: QuicStage) -> None:
    with talking(stage) as talk:
        cid, token = secrets.token_bytes(11), secrets.token_bytes(50)
        talk.from_server(retry_packet(talk, cid, token))
        again = Initials(cid, talk.sending.scid, token=token, number=1)
        talk.from_client(again.hello(RAW))
        talk.from_server(talk.handshake())
        talk.from_client(talk.short())


@pytest.mark.parametrize("name", [filings.UNFILED, f"www.{RAW}"])
def test_another_name_behind_a_retry_ends_the_connection(stage: QuicStage, name: str) -> None:
    with talking(stage) as talk:
        cid = secrets.token_bytes(8)
        talk.from_server(retry_packet(talk, cid, b"token"))
        again = Initials(cid, talk.sending.scid, token=b"token", number=1)
        before = len(stage.raw.of(talk.gate))
        reason = "unfiled" if name == filings.UNFILED else "malformed"
        blocked = stage.gate.decisions(scheme="quic", verdict="block", reason=reason)
        talk.client.send(again.hello(name))
        wait_for(
            lambda: stage.gate.decisions(scheme="quic", verdict="block", reason=reason) > blocked,
            "the decision",
        )
        talk.client.send(talk.short(), again.datagram(crypto(0, client_hello(RAW))))
        stage.settle()
        assert len(stage.raw.of(talk.gate)) == before


def test_a_retry_that_the_client_missed_comes_again(stage: QuicStage) -> None:
    """A server makes up another ID for each Retry; the client goes by the one that it got."""
    with talking(stage) as talk:
        lost, got = secrets.token_bytes(8), secrets.token_bytes(8)
        talk.from_server(retry_packet(talk, lost, b"first"))
        talk.from_client(talk.sending.hello(RAW))
        talk.from_server(retry_packet(talk, got, b"second"))
        talk.from_client(Initials(got, talk.sending.scid, token=b"second").hello(RAW))


# A second hello.


def test_a_second_hello_of_the_same_name_passes(stage: QuicStage) -> None:
    with talking(stage) as talk:
        first = client_hello(RAW)
        talk.from_server(talk.handshake())
        talk.sending.dcid, talk.sending.keyed = talk.server_cid, talk.sending.dcid
        second = client_hello(RAW)
        talk.from_client(talk.sending.datagram(ACK + crypto(len(first), second)))
        talk.from_client(talk.sending.datagram(ACK))


def test_a_second_hello_in_two_datagrams_is_held_until_it_is_there(stage: QuicStage) -> None:
    with talking(stage) as talk:
        start = len(client_hello(RAW))
        second = client_hello(RAW)
        one = talk.sending.datagram(crypto(start + 40, second[40:]))
        two = talk.sending.datagram(crypto(start, second[:40]))
        with stage.nothing_passes():
            talk.client.send(one)
        before = len(stage.raw.of(talk.gate))
        talk.client.send(two)
        wait_for(lambda: len(stage.raw.of(talk.gate)) == before + 2, "both")
        assert stage.raw.of(talk.gate)[before:] == [one, two]


@pytest.mark.parametrize("name", [filings.UNFILED, f"www.{RAW}"])
def test_a_second_hello_of_another_name_ends_the_connection(stage: QuicStage, name: str) -> None:
    """openssl#32472: a server takes the name of the hello behind its HelloRetryRequest."""
    with talking(stage) as talk:
        start = len(client_hello(RAW))
        talk.from_server(talk.handshake())
        before = len(stage.raw.of(talk.gate))
        talk.client.send(talk.sending.datagram(ACK + crypto(start, client_hello(name))))
        if name == filings.UNFILED:
            ((number, frames),) = talk.sending.answers(talk.client.receive())
            assert frames.startswith(b"\x1c\x02")
            assert number > 1000, "a number that the server may have used is taken for a repetition"
        homeless = stage.dropped("no_flow")
        talk.client.send(talk.short())
        stage.wait_until_dropped("no_flow", homeless)
        assert len(stage.raw.of(talk.gate)) == before


def test_what_was_cut_does_not_go_on_beside_another_connection(stage: QuicStage) -> None:
    """Its packets have IDs that lead nowhere now, not to whatever else its client has open."""
    with talking(stage) as cut, talking(stage, client=cut.client) as other:
        other.answer()
        cut.from_server(cut.handshake())
        start = len(client_hello(RAW))
        cut.client.send(cut.sending.datagram(ACK + crypto(start, client_hello(filings.UNFILED))))
        assert cut.sending.answers(cut.client.receive())
        before = len(stage.raw.arrivals)
        homeless = stage.dropped("cut")
        cut.client.send(cut.short())
        stage.wait_until_dropped("cut", homeless)
        assert len(stage.raw.arrivals) == before
        other.from_client(other.short())


def test_another_hello_over_the_first_one_is_dropped(stage: QuicStage) -> None:
    """The first may have been lost behind the gate: what is sent again must be the same."""
    with talking(stage) as talk:
        before = len(stage.raw.of(talk.gate))
        other = client_hello("t" + RAW[1:])[:-9] + b"x" * 9
        talk.client.send(talk.sending.datagram(crypto(0, other)))
        stage.settle()
        talk.client.send(talk.sending.hello(RAW))
        stage.settle()
        assert len(stage.raw.of(talk.gate)) == before


def test_the_same_hello_again_passes(stage: QuicStage) -> None:
    """A client repeats itself until it hears something."""
    with talking(stage) as talk:
        for _ in range(3):
            talk.from_client(talk.sending.hello(RAW))


def test_no_initial_passes_behind_a_handshake_packet(stage: QuicStage) -> None:
    with talking(stage) as talk:
        talk.answer()
        late = stage.dropped("late_initial")
        talk.client.send(talk.sending.hello(RAW))
        stage.wait_until_dropped("late_initial", late)
        talk.from_client(talk.short())


def test_what_comes_with_a_late_initial_passes_without_it(stage: QuicStage) -> None:
    """An acknowledgement and the client's Handshake packet, overtaken by another of the latter."""
    with talking(stage) as talk:
        talk.answer()
        late = stage.dropped("late_initial")
        behind = replace(talk.sending, dcid=talk.server_cid, keyed=talk.sending.dcid, number=1)
        packet = long_header("handshake", behind.dcid, behind.scid, size=200)
        packet += secrets.token_bytes(196)
        short, before = talk.short(), len(stage.raw.of(talk.gate))
        talk.client.send(behind.packet(ACK) + packet, behind.packet(ACK) + packet + short)
        talk.client.send(behind.datagram(ACK) + bytes(90))
        stage.wait_until_dropped("late_initial", late + 2)
        talk.from_client(talk.short())
        assert stage.raw.of(talk.gate)[before:-1] == [packet, packet + short]

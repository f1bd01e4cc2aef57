"""Floods: of connections, of bytes, of names. What is over a limit is refused and counted."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

import pytest

from tests.harness import hello
from tests.harness.client import Client, get, request
from tests.harness.gate_process import listener, usage
from tests.harness.stream import Closed
from tests.harness.swarm import Swarm
from tests.harness.waiting import wait_for
from tests.hostile.conftest import Besiege
from tests.hostile.siege import MIB, all_ended, served, worker


def count_alive(swarm: Swarm, message: bytes) -> int:
    """How many connections of a swarm still answer."""
    for sock in swarm.sockets:
        with contextlib.suppress(OSError):
            sock.sendall(message)
    alive = 0
    for sock in swarm.sockets:
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            alive += sock.recv(100).startswith(b"HTTP/1.1 200")
    return alive


PATIENT = {"head_seconds": 20.0, "hello_seconds": 20.0, "idle_seconds": 20.0}


def test_flood_from_one_address_is_cut_at_its_limit_and_others_are_served(
    besiege: Besiege,
) -> None:
    stage = besiege(limits=PATIENT)
    swarm = Swarm(stage.gate.ports["http"], 300)
    assert count_alive(swarm, get("filed.com", "/flood")) == 100
    assert stage.gate.decisions(reason="limit") == 200
    assert served(stage)
    swarm.close()
    all_ended(stage)
    with stage.http() as client:
        assert client.ask(get("filed.com", "/after")).status == 200


def test_flood_from_many_addresses_is_cut_at_the_workers_limit(besiege: Besiege) -> None:
    stage = besiege(limits=PATIENT)
    swarm = Swarm(stage.gate.ports["http"], 600, sources=60)
    assert count_alive(swarm, get("filed.com", "/flood")) == 400
    assert stage.gate.decisions(reason="limit") == 200
    swarm.close()
    all_ended(stage)
    assert served(stage)


def test_flood_of_tunnels_is_cut_at_the_limit(besiege: Besiege) -> None:
    stage = besiege(limits=PATIENT | {"tunnel_idle_seconds": 20.0})
    swarm = Swarm(stage.gate.ports["tls"], 150)
    sent = hello.hello(b"to-raw.com")
    alive = 0
    for sock in swarm.sockets:
        with contextlib.suppress(OSError):
            sock.sendall(sent)
    for sock in swarm.sockets:
        with contextlib.suppress(OSError):
            alive += bool(sock.recv(10))
    assert alive == 100
    assert stage.gate.decisions(reason="limit", scheme="tls") == 50
    swarm.close()
    all_ended(stage)


def test_connections_that_come_and_go_leave_nothing(besiege: Besiege) -> None:
    stage = besiege()
    assert served(stage)
    all_ended(stage)
    before = worker(stage)
    for number in range(3000):
        sock = socket.create_connection(
            ("127.0.0.1", stage.gate.ports[("http", "tls")[number % 2]])
        )
        if number % 3 == 0:
            sock.sendall(b"\x16\x03"[: 1 + number % 2])
        if number % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    all_ended(stage)
    assert served(stage)
    all_ended(stage)
    after = worker(stage)
    assert after.descriptors <= before.descriptors
    assert after.rss - before.rss < 8 * MIB


@pytest.mark.parametrize(
    ("start", "piece", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: filed.com\r\nX: ", b"y" * 4096, b"431"),
        (b"GET / HTTP/1.1\r\nHost: filed.com\r\n", b"X: y\r\n" * 500, b"431"),
        (b"GET /", b"y" * 4096, b"4"),
        (b"", b"\r\n" * 2048, b"4"),
    ],
    ids=["endless-line", "endless-fields", "endless-target", "endless-empty-lines"],
)
def test_huge_heads_are_refused_in_bounded_memory(
    besiege: Besiege, start: bytes, piece: bytes, status: bytes
) -> None:
    stage = besiege()
    before = worker(stage).rss
    answers = []
    for _ in range(100):
        with stage.http() as client, contextlib.suppress(ConnectionError):
            client.send(start)
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    client.send(piece)
            client.finish()
            answers.append(client.read_to_end())
    assert answers
    assert all(answer.startswith(b"HTTP/1.1 " + status) or not answer for answer in answers)
    assert worker(stage).rss - before < 16 * MIB
    assert served(stage)


def test_unfinished_large_hellos_are_bounded_in_memory(besiege: Besiege) -> None:
    stage = besiege(limits={"hello_seconds": 3.0})
    before = worker(stage).rss
    swarm = Swarm(stage.gate.ports["tls"], 300, sources=30)
    part = hello.hello(b"filed.com", hello.padding(60_000))[:60_000]
    for sock in swarm.sockets:
        sock.sendall(part)
    wait_for(lambda: stage.gate.total("gate_connections_open") >= 300, "all hellos to be held")
    # 300 hellos of at most 64 KiB each; a copy of each while it grows.
    assert worker(stage).rss - before < 300 * 2 * 65536 + 8 * MIB
    assert served(stage)
    all_ended(stage)
    swarm.close()


CHUNKED = request("POST", "filed.com", "/chunks", "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    "piece",
    [
        b"1;" + b"a" * 400 + b"\r\nx\r\n",
        b"1;a=" + b'"' + b"b" * 100 + b'"' + b"\r\nx\r\n",
        b"0" * 400,
    ],
    ids=["extensions", "quoted-extensions", "endless-size"],
)
def test_floods_of_chunk_decoration_are_refused(besiege: Besiege, piece: bytes) -> None:
    stage = besiege()
    with stage.http() as client:
        client.send(CHUNKED)
        with contextlib.suppress(ConnectionError):
            for _ in range(2000):
                client.send(piece)
        answers = client.read_all_responses()
    assert [answer.status for answer in answers] == [400]
    assert not any(seen.complete for seen in stage.origin.about("/chunks"))
    assert served(stage)


@pytest.mark.parametrize(
    "piece", [b"X-T: " + b"y" * 100 + b"\r\n", b"X-T:" + b" " * 400], ids=["lines", "one-line"]
)
def test_endless_trailers_are_refused(besiege: Besiege, piece: bytes) -> None:
    stage = besiege()
    before = worker(stage).rss
    with stage.http() as client:
        client.send(CHUNKED + b"1\r\nx\r\n0\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(2000):
                client.send(piece)
        answers = client.read_all_responses()
    assert [answer.status for answer in answers] == [400]
    assert not any(seen.complete for seen in stage.origin.about("/chunks"))
    assert worker(stage).rss - before < 8 * MIB


def test_flood_of_one_byte_chunks_arrives_in_bounded_memory(besiege: Besiege) -> None:
    stage = besiege()
    before = worker(stage).rss
    with stage.http() as client:
        client.send(CHUNKED)
        for _ in range(100):
            client.send(b"1\r\nx\r\n" * 500)
        client.send(b"0\r\n\r\n")
        assert client.read_response("POST").status == 200
    (seen,) = stage.origin.about("/chunks")
    assert len(seen.body) == 50_000
    assert worker(stage).rss - before < 8 * MIB


def test_flood_of_malformed_requests_is_counted_and_harmless(besiege: Besiege) -> None:
    stage = besiege()
    for _ in range(1000):
        with stage.http() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
            client.read_to_end()
    assert stage.gate.decisions(reason="malformed") == 1000
    assert served(stage)


def test_random_hosts_do_not_flush_the_verdicts_of_filed_traffic(besiege: Besiege) -> None:
    stage = besiege(
        policy={"cache_size": 1000},
        listeners=[listener("http", "http"), listener("tls", "tls")],
        limits={"idle_seconds": 30.0},
    )
    hosts = [f"host{number}.filed.com" for number in range(200)]

    def visit() -> None:
        with stage.http() as client:
            for host in hosts:
                assert client.ask(get(host, "/visit")).status == 200

    for _ in range(3):
        visit()  # admission may take a second miss
    before = stage.gate.total("gate_cache_misses_total")
    port = stage.gate.ports["tls"]
    for wave in range(5):
        for number in range(1000):
            with Client(port) as client:
                client.send(hello.hello(b"r%d-%d.random.com" % (wave, number)))
                client.expect_reset()
        visit()
    misses = stage.gate.total("gate_cache_misses_total") - before - 5000
    assert misses <= 0.05 * 5 * len(hosts), f"{misses:g} of 1000 filed requests missed"


def test_random_hosts_below_a_filed_name_are_bounded_too(besiege: Besiege) -> None:
    stage = besiege(policy={"cache_size": 1000}, limits={"idle_seconds": 30.0})
    before = worker(stage).rss
    with stage.http() as client:
        for number in range(5000):
            assert client.ask(get(f"r{number}.filed.com", "/x")).status == 200
    assert stage.gate.total("gate_cache_entries") <= 1000
    assert worker(stage).rss - before < 16 * MIB


def test_unique_heads_are_not_remembered_for_ever(besiege: Besiege) -> None:
    stage = besiege(limits={"idle_seconds": 30.0})
    before = worker(stage).rss
    with stage.http() as client:
        for number in range(3000):
            cookie = f"Cookie: {number:08}{'c' * 16_000}"
            assert client.ask(get("filed.com", "/unique", cookie)).status == 200
    assert worker(stage).rss - before < 24 * MIB  # of 48 MB that passed
    stage.origin.requests.clear()


def test_heads_and_hellos_in_single_bytes_cost_no_more_than_their_bytes(besiege: Besiege) -> None:
    """No work that grows with the square of what has come: 8 times the bytes, 8 times the CPU."""
    stage = besiege(limits={"head_seconds": 60.0, "hello_seconds": 60.0})
    pid = stage.gate.workers()[0]

    def cost(port: str, data: bytes) -> float:
        before = usage(pid).cpu
        with stage.http(port) as client:
            for at in range(len(data)):
                client.send(data[at : at + 1])
            client.fill()
        return usage(pid).cpu - before

    def head(size: int) -> bytes:
        return get("filed.com", "/bytes", "X: " + "y" * size)

    def large_hello(size: int) -> bytes:
        return hello.hello(b"to-raw.com", hello.padding(size))

    for port, make in (("http", head), ("tls", large_hello)):
        small, large = cost(port, make(3_500)), cost(port, make(28_000))
        assert large < 16 * max(small, 0.05), (port, small, large)


def test_idle_upstream_connections_are_bounded(besiege: Besiege) -> None:
    stage = besiege(
        upstreams={"max_idle_per_address": 10, "idle_timeout": 1.0}, limits={"idle_seconds": 30.0}
    )
    swarm = Swarm(stage.gate.ports["http"], 90)
    swarm.exchange(get("filed.com", "/idle"), 15)
    used = {seen.connection for seen in stage.origin.about("/idle")}

    def still_open() -> int:
        return sum(not stage.origin.arrivals[number].ended.is_set() for number in used)

    wait_for(lambda: still_open() <= 10, "all but ten upstream connections to end")
    wait_for(lambda: still_open() == 0, "the idle ones to end in their time")
    swarm.close()


def test_hoard_at_the_notice_page_does_not_reach_the_admin_port(besiege: Besiege) -> None:
    stage = besiege(notice={"connections": 20})
    port = int(stage.gate.settings["notice"]["listen"].rpartition(":")[2])
    hoard = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    wait_for(
        lambda: (
            stage.gate.total("gate_control_connections_refused_total", listener="notice") == 180
        ),
        "180 connections to be refused",
    )
    assert stage.gate.ask_admin("/readyz")[0] == 200
    assert served(stage)
    for sock in hoard:
        sock.close()
    wait_for(lambda: notice_answers(port), "the notice page to answer again")


def notice_answers(port: int) -> bool:
    try:
        with Client(port) as client:
            return client.ask(get("notice", "/")).status == 200
    except (OSError, Closed):
        return False


def test_running_out_of_descriptors_pauses_and_does_not_spin(besiege: Besiege) -> None:
    stage = besiege(
        descriptors=256,
        process={"open_files": 256, "drain_seconds": 0},
        limits=PATIENT | {"connections_per_address": 8000, "connections_per_worker": 16000},
    )
    swarm = Swarm(stage.gate.ports["http"], 400, sources=10)
    for sock in swarm.sockets:
        sock.sendall(b"GET / HTTP/1.1\r\n")  # holds its descriptor: never complete
    pid = stage.gate.workers()[0]
    wait_for(lambda: usage(pid).descriptors >= 250, "the worker to run out of descriptors")
    paused = wait_for(
        lambda: stage.gate.total("gate_connections_ended_total", cause="accept_paused"),
        "accept to pause",
    )
    started = usage(pid).cpu
    time.sleep(2.0)  # the span that is measured
    spent = usage(pid).cpu - started
    assert spent < 0.4, f"{spent:.2f} s of CPU in 2 s while out of descriptors"
    assert stage.gate.total("gate_connections_ended_total", cause="accept_paused") < paused + 50
    assert stage.gate.log.read_text().count("accepting pauses on http") == 1, (
        "a line for each pause"
    )
    swarm.close()
    all_ended(stage)
    assert served(stage)

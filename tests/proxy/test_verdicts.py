"""One decision for one request or hello: it is made once, counted once, and handed on."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.policy import Decider, Verdict
from tests.harness.hello import real_hello
from tests.harness.planes import Plane
from tests.proxy.running import OK, Reader, Running, accepted, new_loop

HTTP, TLS = 0, 1
ASK = "GET / HTTP/1.1\r\nHost: {}\r\n\r\n"
SEND = "POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\r\nhi"


def ask(form: str, *hosts: str) -> bytes:
    return "".join(form.format(host) for host in hosts).encode()


CASES = {
    "a filed request": (HTTP, [ask(ASK, "example.cn")], [b"example.cn"]),
    "an unfiled request": (HTTP, [ask(ASK, "unfiled.cn")], [b"unfiled.cn"]),
    "a filed request with a body": (HTTP, [ask(SEND, "example.cn")], [b"example.cn"]),
    "an unfiled request with a body": (HTTP, [ask(SEND, "unfiled.cn")], [b"unfiled.cn"]),
    "an unfiled request behind a filed one": (
        HTTP,
        [ask(ASK, "example.cn", "unfiled.cn")],
        [b"example.cn", b"unfiled.cn"],
    ),
    "a request in two pieces": (
        HTTP,
        [ask(ASK, "example.cn")[:20], ask(ASK, "example.cn")[20:]],
        [b"example.cn"],
    ),
    "a host that is no name": (HTTP, [ask(ASK, "a..b")], [b"a..b"]),
    "a filed hello": (TLS, [real_hello("example.cn")], [b"example.cn"]),
    "an unfiled hello": (TLS, [real_hello("unfiled.cn")], [b"unfiled.cn"]),
    "an unfiled hello in two pieces": (
        TLS,
        [real_hello("unfiled.cn")[:99], real_hello("unfiled.cn")[99:]],
        [b"unfiled.cn"],
    ),
    "HTTP on a tls port": (TLS, [ask(ASK, "example.cn")], [b"example.cn"]),
}


class Asked:
    """Has a decider keep the hosts that it was asked about."""

    def __init__(self, decider: Decider, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: list[bytes] = []
        self._decide = decider.decide
        monkeypatch.setattr(decider, "decide", self)

    def __call__(self, host: bytes) -> Verdict:
        self.hosts.append(host)
        return self._decide(host)


@pytest.mark.python_plane
@pytest.mark.parametrize("enforcing", [True, False], ids=["enforce", "monitor"])
@pytest.mark.parametrize(("index", "pieces", "hosts"), CASES.values(), ids=CASES.keys())
def test_a_host_is_decided_on_once(
    running: Running,
    upstream: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    index: int,
    pieces: list[bytes],
    hosts: list[bytes],
    enforcing: bool,
) -> None:
    for state in running.plane._listeners.values():
        state.enforce(enforcing)
    asked = Asked(running.decider, monkeypatch)
    origins = []
    with running.client(index) as sock:
        for piece in pieces:
            sock.send(piece)
            running.turn()
        got = Reader(sock)

        def served() -> bool:
            with contextlib.suppress(BlockingIOError):
                origins.append(upstream.accept()[0])
            for origin in origins:
                origin.setblocking(False)
                try:
                    if origin.recv(1 << 16):
                        origin.send(OK)
                except (BlockingIOError, OSError):
                    pass
            return bool(got().end) or got.data.count(b"ok") == len(hosts)

        assert running.until(served)
    assert asked.hosts == hosts
    for origin in origins:
        origin.close()
    noted = 0
    for schemes in running.plane.stats()["decisions"].values():
        for outcomes in schemes.values():
            noted += sum(sum(reasons.values()) for reasons in outcomes.values())
    assert noted == len(hosts)


@pytest.fixture
def small(tmp_path: Path, upstream: socket.socket, plane: Plane) -> Iterator[Running]:
    """A plane whose cache has room for four verdicts."""
    loop = new_loop(plane)
    running = Running(loop, tmp_path, f"127.0.0.1:{upstream.getsockname()[1]}", cache=4)
    yield running
    running.close()
    loop.close()


@pytest.mark.parametrize("form", [ASK, SEND, "GET / HTTP/1.1\r\nHost: {}\r\nTE: trailers\r\n\r\n"])
def test_names_that_are_asked_for_once_do_not_push_out_what_is_cached(
    small: Running, upstream: socket.socket, form: str
) -> None:
    """Nor if the planes share the work on one: it is decided on once."""
    running = small
    assert running.decider.stats.capacity == 4
    for number in range(20):
        with running.client() as sock:
            sock.send(ask(form, f"once{number}.example.cn"))
            if number == 0:
                origin = accepted(running, upstream)
            got, seen = Reader(sock), Reader(origin)
            assert running.until(lambda: b"\r\n\r\n" in seen().data)  # noqa: B023
            origin.send(OK)
            assert running.until(lambda: got().data.endswith(b"ok"))  # noqa: B023
    stats = running.decider.stats
    assert stats.misses == 20
    assert stats.evictions < 5  # once in 256 times a name is taken for one that came before
    assert running.plane.named_decisions() == 20
    origin.close()


BAD = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: example.cn\r\n" + BAD


AT_ONCE, LATER = [b"nonsense\r\n"], [b"5\r\nhello\r\n", b"nonsense\r\n"]


@pytest.mark.parametrize(
    ("enforcing", "host", "pieces", "outcome", "reason"),
    [
        (True, b"example.cn", AT_ONCE, "block", "malformed"),
        (False, b"example.cn", AT_ONCE, "block", "malformed"),
        (True, b"example.cn", LATER, "pass", "filed"),
        (False, b"example.cn", LATER, "pass", "filed"),
        (False, b"unfiled.cn", LATER, "monitor", "unfiled"),
    ],
    ids=["at-once", "at-once-monitor", "later", "later-monitor", "later-unfiled-monitor"],
)
def test_a_request_whose_body_turns_bad_is_counted_once(
    running: Running,
    upstream: socket.socket,
    enforcing: bool,
    host: bytes,
    pieces: list[bytes],
    outcome: str,
    reason: str,
) -> None:
    for state in running.plane._listeners.values():
        state.enforcing = enforcing
    with running.client() as sock:
        got = Reader(sock)
        sock.send(CHUNKS.replace(b"example.cn", host) + pieces[0])
        if len(pieces) == 2:
            with accepted(running, upstream) as origin:
                seen = Reader(origin)
                assert running.until(lambda: b"hello" in seen().data)
                sock.send(pieces[1])
                assert running.until(lambda: bool(got().data))
                assert running.until(lambda: seen().end == "reset")
        else:
            assert running.until(lambda: bool(got().data))
            with pytest.raises(BlockingIOError):
                upstream.accept()
    assert got.data.startswith(b"HTTP/1.1 400 ")
    figures = running.plane.stats()
    noted = {o: r for o, r in figures["decisions"]["http"]["http"].items() if r}
    assert noted == {outcome: {reason: 1}}
    assert figures["connections_ended"].get("malformed_body", 0) == len(pieces) - 1


@pytest.mark.parametrize("host", ["unfiled.cn", "a..b"])
def test_a_connection_that_is_handed_over_was_missed_once(small: Running, host: str) -> None:
    """A blocked request with a body, and one for no name, end in the Python plane."""
    for _ in range(4):
        small.decider.decide(b"%d.example.cn" % small.decider.stats.misses)
    before = small.decider.stats
    with small.client() as sock:
        sock.send(ask(SEND, host))
        got = Reader(sock)
        assert small.until(lambda: b"\r\n\r\n" in got().data)
    after = small.decider.stats
    assert (after.misses - before.misses, after.evictions) == (1, 0)

"""NTLM and Negotiate authenticate a connection: nobody else may ask on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gate.proxy.reactor import new_event_loop
from tests.proxy.running import GET, OK, Reader, Running, accepted

ASK = b"GET /%d HTTP/1.1\r\nHost: example.cn\r\n%b\r\n\r\n"
ANSWER = b"HTTP/1.1 %b\r\n%b\r\nContent-Length: 2\r\n\r\nok"


class Talk:
    """Clients and the origin's connections, in the order in which they come up."""

    def __init__(self, running: Running, upstream: socket.socket, stack: ExitStack) -> None:
        self.running, self._upstream, self._stack = running, upstream, stack

    def client(self) -> socket.socket:
        return self._stack.enter_context(self.running.client())

    def origin(self) -> socket.socket:
        return self._stack.enter_context(accepted(self.running, self._upstream))

    def exchange(
        self,
        client: socket.socket,
        origin: socket.socket | None = None,
        request: bytes = GET % 1,
        answer: bytes = OK,
    ) -> socket.socket:
        """One request and its answer; on a new connection to the origin if none is given."""
        client.send(request)
        if origin is None:
            origin = self.origin()
        asked, got = Reader(origin), Reader(client)
        assert self.running.until(lambda: asked().data.endswith(b"\r\n\r\n"), 2), "not asked here"
        origin.send(answer)
        assert self.running.until(lambda: got().data.endswith(b"ok"))
        return origin


@pytest.fixture
def talk(running: Running, upstream: socket.socket) -> Iterator[Talk]:
    with ExitStack() as stack:
        yield Talk(running, upstream, stack)


CHALLENGES = [
    b"NTLM",
    b"Negotiate",
    b'Basic realm="x", NTLM',
    b"negotiate, ntlm",
    b"NTLM TlRMTVNTUAAC",
]
CREDENTIALS = [b"NTLM TlRMTVNTUAAB", b"negotiate YIIB", b"Negotiate YIIB"]


@pytest.mark.parametrize("challenge", CHALLENGES)
def test_from_a_challenge_on_the_upstream_connection_is_the_clients_own(
    talk: Talk, challenge: bytes
) -> None:
    first, second = talk.client(), talk.client()
    answer = ANSWER % (b"401 Unauthorized", b"WWW-Authenticate: " + challenge)
    mine = talk.exchange(first, answer=answer)
    talk.exchange(second)
    talk.exchange(first, mine, ASK % (2, b"Authorization: NTLM TlRMTVNTUAAD"))
    talk.exchange(first, mine)
    assert talk.running.plane.stats()["upstream_connects"].popitem()[1] == 2


@pytest.mark.parametrize("credentials", CREDENTIALS)
def test_from_credentials_on_the_upstream_connection_is_the_clients_own(
    talk: Talk, credentials: bytes
) -> None:
    first, second = talk.client(), talk.client()
    mine = talk.exchange(first, request=ASK % (1, b"authorization:" + credentials))
    other = talk.exchange(second)
    talk.exchange(first, mine)
    talk.exchange(second, other)


@pytest.mark.parametrize(
    ("field", "challenge"),
    [(b"Authorization: Basic bnRsbQ==", b"Basic"), (b"X-Authorization: NTLM x", b"Bearer")],
)
def test_what_authenticates_a_request_leaves_connections_shared(
    talk: Talk, field: bytes, challenge: bytes
) -> None:
    first, second = talk.client(), talk.client()
    answer = ANSWER % (b"401 Unauthorized", b"WWW-Authenticate: " + challenge)
    shared = talk.exchange(first, request=ASK % (1, field), answer=answer)
    talk.exchange(second, shared)


def test_the_own_connection_is_closed_with_its_client(talk: Talk) -> None:
    client = talk.client()
    mine = talk.exchange(client, request=ASK % (1, b"Authorization: NTLM x"))
    client.close()
    ended = Reader(mine)
    assert talk.running.until(lambda: bool(ended().end))
    assert talk.running.plane.stats()["upstream_idle"].popitem()[1] == 0


def test_a_client_whose_own_connection_ended_gets_another_of_its_own(talk: Talk) -> None:
    client, second = talk.client(), talk.client()
    mine = talk.exchange(client, request=ASK % (1, b"Authorization: NTLM x"))
    mine.close()
    again = talk.exchange(client)
    talk.exchange(second)
    talk.exchange(client, again)


def test_it_is_closed_when_the_client_is_cut(talk: Talk) -> None:
    client = talk.client()
    mine = talk.exchange(client, request=ASK % (1, b"Authorization: NTLM x"))
    talk.running.plane.close()
    ended = Reader(mine)
    assert talk.running.until(lambda: bool(ended().end))


@pytest.fixture
def announced(tmp_path: Path, upstream: socket.socket) -> Iterator[Running]:
    """A plane whose origin is sent a PROXY header first."""
    loop = new_event_loop()
    address = f"127.0.0.1:{upstream.getsockname()[1]}"
    running = Running(loop, tmp_path, address, send_proxy="v1")
    yield running
    running.close()
    loop.close()


def test_a_connection_with_a_proxy_header_is_kept_for_who_authenticates_on_it(
    announced: Running, upstream: socket.socket
) -> None:
    with ExitStack() as stack:
        talk = Talk(announced, upstream, stack)
        client = talk.client()
        mine = talk.exchange(client, request=ASK % (1, b"Authorization: NTLM x"))
        talk.exchange(client, mine)
        talk.exchange(talk.client())

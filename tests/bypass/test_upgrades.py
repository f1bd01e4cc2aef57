"""Upgrade tricks: making the gate believe that it carries a tunnel when it does not."""

from __future__ import annotations

import pytest

from tests.bypass.cases import check_hosts, play
from tests.harness.client import get, request
from tests.harness.http_origin import Exchange
from tests.harness.stage import Stage

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


def hidden(path: str) -> bytes:
    return get("unfiled.com", path + "hidden")


def test_refused_upgrade_opens_no_tunnel(bypass_stage: Stage, path: str) -> None:
    """The origin says 426 to a bad version; what follows is judged, not tunnelled."""

    def refuse(exchange: Exchange) -> None:
        exchange.answer("426 Upgrade Required", b"", "Sec-WebSocket-Version: 13")

    bypass_stage.origin.on(path, refuse)
    answers = play(
        bypass_stage, get("filed.com", path, *UPGRADE, "Sec-WebSocket-Version: 777") + hidden(path)
    )
    assert [answer.status for answer in answers] == [426, 302]
    bypass_stage.settle()
    assert not bypass_stage.origin.saw(f"{path}hidden".encode())
    check_hosts(bypass_stage)


@pytest.mark.parametrize(
    "head",
    [
        get("filed.com", "{p}", "Upgrade: websocket"),
        get("filed.com", "{p}", "Connection: Upgrade", "Upgrade: h2c"),
        get("filed.com", "{p}", "Connection: Upgrade", "Upgrade: TLS/1.0"),
        get("filed.com", "{p}", *UPGRADE, version="1.0"),
        request("POST", "filed.com", "{p}", *UPGRADE, "Content-Length: 3", body=b"abc"),
    ],
    ids=["not-listed", "h2c", "tls", "http-1.0", "post-with-a-body"],
)
def test_switch_that_the_gate_did_not_offer_is_not_followed(
    bypass_stage: Stage, path: str, head: bytes
) -> None:
    """An origin that says 101 all the same gets no tunnel."""

    def switch(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n")
        exchange.send(b"Upgrade: websocket\r\n\r\n")
        exchange.arrival.fill()  # whatever comes now would have been tunnelled

    bypass_stage.origin.on(path, switch)
    data = head.replace(b"{p}", path.encode()) + hidden(path)
    answers = play(bypass_stage, data)
    statuses = [answer.status for answer in answers]
    assert 200 not in statuses
    if 101 in statuses:  # offered in a form of which the gate made a proper upgrade
        assert b"\r\nupgrade: websocket\r\n" in bypass_stage.origin.about(path)[0].head.lower()
    else:
        bypass_stage.settle()
        assert not bypass_stage.origin.saw(f"{path}hidden".encode())
    check_hosts(bypass_stage)


def test_http_inside_a_websocket_stays_inside(bypass_stage: Stage, path: str) -> None:
    """After a 101 the filed origin may see any bytes of this client, and nobody else's origin.

    The next connection is judged anew, and the tunnel's upstream connection is never reused.
    """

    def tunnel(exchange: Exchange) -> None:
        exchange.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        exchange.send(exchange.arrival.read_until(b"\r\n\r\n"))
        exchange.hang_up()

    bypass_stage.origin.on(path, tunnel)
    with bypass_stage.http() as client:
        client.send(get("filed.com", path, *UPGRADE) + hidden(path))
        assert client.read_head()[0] == 101
        assert client.read_to_end() == hidden(path)
    (seen,) = bypass_stage.origin.about(path)
    for number in range(5):
        assert bypass_stage.ask(get("filed.com", f"{path}{number}")).status == 200
    later = {one.connection for one in bypass_stage.origin.about(path)[1:]}
    assert seen.connection not in later
    assert bypass_stage.ask(get("unfiled.com", path)).status == 302
    check_hosts(bypass_stage)


def test_response_that_ends_its_own_connection_takes_no_second_answer(
    bypass_stage: Stage, path: str
) -> None:
    """Bytes that an origin sends beyond its response never answer somebody else's request."""

    def split(exchange: Exchange) -> None:
        exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
        )

    bypass_stage.origin.on(path, split)
    for number in range(20):
        assert bypass_stage.ask(get("filed.com", path)).status == 200
        assert b"poison" not in bypass_stage.ask(get("filed.com", f"{path}{number}")).body

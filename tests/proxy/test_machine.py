"""The HTTP connection's state table: each event in each state, and each fault in each phase."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from gate.proxy.http import HttpConnection
from gate.proxy.http.states import (
    DEADLINES,
    PATIENCE,
    REMEDIES,
    TABLE,
    Action,
    Fault,
    HttpEvent,
    HttpState,
    Phase,
    Remedy,
)
from tests.proxy import test_states as scenes
from tests.proxy.running import GET, Reader, Running, heads, http_connection
from tests.proxy.test_states import Scene

pytestmark = pytest.mark.python_plane

ROWS = [(state, event, TABLE[state][event]) for state in HttpState for event in HttpEvent]


def begin(scene: Scene) -> None:
    """Nothing of a second request has come."""
    scenes.kept_alive(scene)


TO_STATE: dict[HttpState, Callable[[Scene], None]] = {
    HttpState.IDLE: begin,
    HttpState.HEAD: scenes.head_half_read,
    HttpState.BUSY: scenes.waiting_for_a_response,
    HttpState.FLUSH: scenes.flushing,
    HttpState.LINGER: scenes.lingering,
}


@dataclass
class Outcome:
    """What is seen after an action: the state it leads to, and the cause of an end."""

    state: HttpState | None
    """None: the state stays."""
    cause: str = ""
    answer: bytes = b""


OUTCOMES: dict[Action, Outcome] = {
    Action.READ_HEAD: Outcome(HttpState.HEAD),
    Action.READ_AHEAD: Outcome(None),
    Action.DISCARD: Outcome(None),
    Action.STAND_BY: Outcome(None),
    Action.FLUSH: Outcome(None),
    Action.UNWATCH: Outcome(None),
    Action.CLOSE: Outcome(HttpState.CLOSED, "closed"),
    Action.CLOSE_TRUNCATED: Outcome(HttpState.CLOSED, "truncated"),
    Action.CLOSE_IDLE: Outcome(HttpState.CLOSED, "idle"),
    Action.RESET: Outcome(HttpState.CLOSED, "peer_reset"),
    Action.CUT: Outcome(HttpState.CLOSED, "timeout"),
    Action.REFUSE_SLOW_HEAD: Outcome(HttpState.LINGER, answer=b"HTTP/1.1 408 "),
    Action.TIME_OUT_EXCHANGE: Outcome(HttpState.LINGER, answer=b"HTTP/1.1 504 "),
    Action.NOTHING: Outcome(None),
}


@pytest.fixture
def scene(running: Running, upstream: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(running, upstream, monkeypatch)


def connection_of(scene: Scene) -> HttpConnection:
    connection = http_connection(scene.running)
    assert connection is not None
    return connection


def test_every_event_has_an_action_in_every_state() -> None:
    assert {state: set(row) for state, row in TABLE.items()} == {
        s: set(HttpEvent) for s in HttpState
    }
    assert {phase: set(row) for phase, row in REMEDIES.items()} == {p: set(Fault) for p in Phase}


def test_every_action_is_taken_somewhere_and_is_a_method() -> None:
    assert {action for row in TABLE.values() for action in row.values()} == set(Action)
    assert {remedy for row in REMEDIES.values() for remedy in row.values()} == set(Remedy)
    assert all(callable(getattr(HttpConnection, action.value)) for action in Action)


def test_every_state_and_phase_has_its_deadline(running: Running) -> None:
    http = running.plane._http
    assert set(http.seconds) == set(HttpState) - {HttpState.BUSY, HttpState.CLOSED}
    assert set(http.seconds) == {*DEADLINES, HttpState.LINGER}
    assert set(http.seconds_busy) == set(PATIENCE) == set(Phase)


@pytest.mark.parametrize(
    ("state", "event", "action"),
    [row for row in ROWS if row[0] is not HttpState.CLOSED],
    ids=[f"{s.name}-{e.name}" for s, e, _ in ROWS if s is not HttpState.CLOSED],
)
def test_an_event_leads_where_the_table_says(
    scene: Scene, state: HttpState, event: HttpEvent, action: Action
) -> None:
    TO_STATE[state](scene)
    connection = connection_of(scene)
    client = scene.sockets[0]
    assert connection.state is state
    got = Reader(client)
    if event is HttpEvent.READABLE:
        client.setblocking(True)
        client.send(b"GET /next HTT")
        client.setblocking(False)
    elif event is HttpEvent.ENDED:
        connection.client.end_of_input()
    buffered = len(connection.client.buffer)
    connection._do(event)
    outcome = OUTCOMES[action]
    assert connection.state is (outcome.state or state)
    if action is Action.READ_AHEAD:
        assert len(connection.client.buffer) > buffered
    elif action is Action.DISCARD:
        assert connection.client.buffer == b""
    elif action is Action.UNWATCH:
        assert connection.client.events == -1
    if outcome.answer:
        assert scene.running.until(lambda: outcome.answer in got().data)
    if outcome.cause:
        assert scene.running.until(lambda: scene.running.plane.stats()["connections_open"] == 0)
        assert scene.running.plane.stats()["connections_ended"] == {outcome.cause: 1}
    scene.close()


@pytest.mark.parametrize("event", HttpEvent)
def test_an_ended_connection_does_nothing(scene: Scene, event: HttpEvent) -> None:
    scenes.head_half_read(scene)
    connection = connection_of(scene)
    connection.abort()
    connection._do(event)
    assert connection.state is HttpState.CLOSED
    assert scene.running.plane.stats()["connections_ended"] == {"aborted": 1}
    scene.close()


def test_a_flushed_connection_takes_its_next_request(scene: Scene) -> None:
    scenes.flushing(scene)
    connection = connection_of(scene)
    reader = Reader(scene.sockets[0])
    assert scene.running.until(lambda: bool(reader()) and connection.state is not HttpState.FLUSH)
    assert connection.state is HttpState.BUSY  # its next request was there already
    scene.close()


@pytest.mark.parametrize(
    ("first", "state"),
    [
        (b"\r\n", HttpState.IDLE),
        (b"\r\nG", HttpState.HEAD),
        (b"GET / HTTP/1.1\r\n", HttpState.HEAD),
    ],
)
def test_empty_lines_are_no_part_of_a_head(scene: Scene, first: bytes, state: HttpState) -> None:
    scene.client(0, first)
    assert connection_of(scene).state is state
    scene.close()


# The exchange.


def sending_slowly(scene: Scene) -> None:
    """The client is the one that more of the request is to come from."""
    scene.asked(scenes.LONG)


TO_PHASE: dict[Phase, Callable[[Scene], None]] = {
    Phase.CONNECTING: scenes.dialling_for_a_request,
    Phase.SENDING: scenes.uploading,
    Phase.WAITING: scenes.waiting_for_a_response,
    Phase.RESPONDING: scenes.response_half_sent,
}
FAULTS = [
    *((phase, TO_PHASE[phase], fault) for phase in Phase for fault in Fault),
    (Phase.SENDING, sending_slowly, Fault.DEADLINE),
]
ANSWERS = {
    (Remedy.FAIL, Fault.UPSTREAM_ENDED): b"HTTP/1.1 502 ",
    (Remedy.FAIL, Fault.DEADLINE): b"HTTP/1.1 504 ",
    # On a connection that was just made there is nothing to try again.
    (Remedy.RETRY, Fault.UPSTREAM_ENDED): b"HTTP/1.1 502 ",
    (Remedy.BLAME, Fault.DEADLINE): b"HTTP/1.1 504 ",
}
CAUSES = {Fault.UPSTREAM_ENDED: "broken_response", Fault.DEADLINE: "timeout"}


@pytest.mark.parametrize(
    ("phase", "to_phase", "fault"), FAULTS, ids=[f"{t.__name__}-{f.name}" for _, t, f in FAULTS]
)
def test_a_fault_has_the_remedy_of_its_phase(
    scene: Scene, phase: Phase, to_phase: Callable[[Scene], None], fault: Fault
) -> None:
    to_phase(scene)
    connection = connection_of(scene)
    exchange = connection.exchange
    assert exchange is not None
    assert exchange._phase is phase
    got = Reader(scene.sockets[0])
    if fault is Fault.DEADLINE:
        exchange.timed_out()
    else:
        exchange.upstream_ended()
    remedy = REMEDIES[phase][fault]
    if remedy is Remedy.CUT:
        assert scene.running.plane.stats()["connections_ended"] == {CAUSES[fault]: 1}
    else:
        answer = ANSWERS[remedy, fault]
        if to_phase is sending_slowly:
            answer = b"HTTP/1.1 408 "
        assert scene.running.until(lambda: answer in got().data)
    scene.close()


def test_a_request_on_a_kept_connection_is_sent_again_on_a_new_one(scene: Scene) -> None:
    client, origin = scene.asked(GET % 1)
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert scene.running.until(partial(heads, Reader(client), 1))
    client.send(GET % 2)
    assert scene.running.until(partial(heads, Reader(origin), 1))
    exchange = connection_of(scene).exchange
    assert exchange is not None
    exchange.upstream_ended()
    again = scene.origin()
    assert scene.running.until(partial(heads, Reader(again), 1))
    scene.close()

"""One direction of relayed bytes: order, back-pressure, limits, the switch to splice."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.proxy.flow import BUFFER_BYTES, Flow, Progress
from gate.proxy.pipes import PipePool
from tests.harness.examples import examples

BUFFER = memoryview(bytearray(BUFFER_BYTES))


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return one, other


@dataclass
class Line:
    """writer -> source =flow=> sink -> reader."""

    writer: socket.socket
    source: socket.socket
    sink: socket.socket
    reader: socket.socket
    pipes: PipePool

    def flow(self, limit: int = -1) -> Flow:
        return Flow(self.source, self.sink, self.pipes, limit)


@pytest.fixture
def line() -> Iterator[Line]:
    writer, source = tcp_pair()
    sink, reader = tcp_pair()
    source.setblocking(False)
    sink.setblocking(False)
    pipes = PipePool()
    yield Line(writer, source, sink, reader, pipes)
    for sock in (writer, source, sink, reader):
        sock.close()
    pipes.close()


def relay(line: Line, flow: Flow, data: bytes) -> bytes:
    """Push `data` through the flow, reading slowly, until the flow has ended."""
    out = bytearray()
    line.writer.setblocking(False)
    line.reader.settimeout(0.001)
    left = memoryview(data)
    shut = False
    while True:
        if left:
            with contextlib.suppress(BlockingIOError):
                left = left[line.writer.send(left) :]
        elif not shut:
            line.writer.shutdown(socket.SHUT_WR)
            shut = True
        if flow.pump(BUFFER) is Progress.ENDED:
            break
        with contextlib.suppress(TimeoutError):
            out += line.reader.recv(50_000)
    flow.end_sink()
    line.reader.settimeout(10)
    while got := line.reader.recv(1 << 20):
        out += got
    return bytes(out)


@pytest.mark.parametrize("size", [0, 1, 1000, BUFFER_BYTES, BUFFER_BYTES + 1, 12_000_000])
def test_bytes_arrive_whole_and_in_order(line: Line, size: int) -> None:
    data = os.urandom(size)
    flow = line.flow()
    assert relay(line, flow, data) == data
    assert flow.complete
    assert flow.moved == size
    flow.close()


def test_bulk_goes_through_a_pipe_that_is_given_back(line: Line) -> None:
    flow = line.flow()
    data = os.urandom(8_000_000)
    assert relay(line, flow, data) == data
    flow.close()
    pipe = line.pipes.take()
    assert pipe.inside == 0
    line.pipes.give(pipe)


def test_a_full_sink_stops_the_source(line: Line) -> None:
    flow = line.flow()
    line.writer.setblocking(False)
    sent = 0
    blocked = 0
    while blocked < 50:
        try:
            sent += line.writer.send(b"x" * 100_000)
        except BlockingIOError:
            blocked += 1
        flow.pump(BUFFER)
    assert flow.blocked
    # The flow itself holds one buffer or pipe at the most, whatever the sender wants.
    assert flow.moved <= sent
    flow.close()


def test_bytes_in_front_go_first(line: Line) -> None:
    flow = line.flow()
    flow.hold(b"first,")
    assert relay(line, flow, b"second") == b"first,second"


@pytest.mark.parametrize("limit", [0, 1, 5, BUFFER_BYTES, 3_000_000])
def test_a_limit_is_never_passed(line: Line, limit: int) -> None:
    data = os.urandom(limit)
    line.writer.setblocking(True)
    flow = line.flow(limit)
    got = bytearray()
    line.reader.settimeout(0.01)
    left = memoryview(data + b"the next request")
    while flow.pump(BUFFER) is not Progress.ENDED:
        if left:
            left = left[line.writer.send(left[:100_000]) :]
        with contextlib.suppress(TimeoutError):
            got += line.reader.recv(1 << 20)
    flow.end_sink()
    line.reader.settimeout(10)
    while more := line.reader.recv(1 << 20):
        got += more
    assert bytes(got) == data
    assert flow.complete


def test_a_source_that_ends_before_the_limit_is_not_complete(line: Line) -> None:
    flow = line.flow(100)
    assert relay(line, flow, b"only this") == b"only this"
    assert flow.ended
    assert not flow.complete


def test_without_descriptors_for_a_pipe_the_buffer_serves(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(line.pipes, "take", refuse)
    data = os.urandom(2_000_000)
    assert relay(line, line.flow(), data) == data


def test_a_pipe_with_bytes_inside_is_never_given_to_another(line: Line) -> None:
    pipe = line.pipes.take()
    os.write(pipe.writer, b"secret")
    pipe.inside = 6
    line.pipes.give(pipe)
    again = line.pipes.take()
    assert again is not pipe
    with pytest.raises(BlockingIOError):
        os.read(again.reader, 10)
    line.pipes.give(again)


@settings(max_examples=examples(30), deadline=None)
@given(parts=st.lists(st.binary(max_size=2000), max_size=20))
def test_any_segmentation_gives_the_same_bytes(parts: list[bytes]) -> None:
    writer, source = tcp_pair()
    sink, reader = tcp_pair()
    source.setblocking(False)
    sink.setblocking(False)
    pipes = PipePool()
    flow = Flow(source, sink, pipes)
    for part in parts:
        writer.sendall(part)
        flow.pump(BUFFER)
    writer.shutdown(socket.SHUT_WR)
    while flow.pump(BUFFER) is not Progress.ENDED:
        pass
    flow.end_sink()
    got = bytearray()
    while more := reader.recv(1 << 20):
        got += more
    assert bytes(got) == b"".join(parts)
    for sock in (writer, source, sink, reader):
        sock.close()
    pipes.close()

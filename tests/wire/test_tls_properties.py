"""What holds for any bytes given to the ClientHello reader, and for any way they are cut."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gate.wire.tls import (
    BadHello,
    ClientHello,
    ClientHelloReader,
    HelloFault,
    parse_client_hello,
)
from tests.harness import hello as build
from tests.wire import openssl_hello, plain_hello

Outcome = ClientHello | HelloFault | None

RECORDED = [path.read_bytes() for path in sorted((Path(__file__).parent / "data").glob("*.bin"))]
CONTENT = {kind: build.extension(kind, bytes(kind % 7)) for kind in range(1, 60)}


def read(*portions: bytes) -> Outcome:
    """What a reader says about a stream in `portions`; it is not asked again once it has said."""
    reader = ClientHelloReader()
    try:
        for portion in portions:
            if hello := reader.feed(portion):
                return hello
    except BadHello as error:
        return error.kind
    return None


def fast(data: bytes) -> Outcome:
    try:
        return parse_client_hello(data)
    except BadHello as error:
        return error.kind


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(at % (len(data) + 1) for at in cuts)})
    return [data[start:end] for start, end in pairwise(bounds)]


@st.composite
def changed_hellos(draw: st.DrawFn) -> bytes:
    """A recorded hello with a few bytes changed, inserted or taken out."""
    data = bytearray(draw(st.sampled_from(RECORDED)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, min(len(data), 700) - 1))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@st.composite
def hellos_in_records(draw: st.DrawFn) -> bytes:
    return build.records(draw(changed_hellos())[5:], draw(st.integers(1, 300)))


streams = st.one_of(st.binary(max_size=64), changed_hellos(), hellos_in_records())
cuts = st.lists(st.integers(0, 2**16), max_size=6)


@given(streams, cuts)
def test_no_cut_changes_the_outcome(data: bytes, cuts: list[int]) -> None:
    whole = fast(data)
    assert read(data) == whole
    assert read(*cut(data, cuts)) == whole


@given(streams)
def test_single_bytes_have_the_same_outcome(data: bytes) -> None:
    assert read(*(data[at : at + 1] for at in range(len(data)))) == fast(data)


@given(streams)
def test_the_plain_reader_agrees(data: bytes) -> None:
    outcome = fast(data)
    try:
        assert outcome == plain_hello.read(data)
    except plain_hello.Refused:
        assert isinstance(outcome, HelloFault)
    except plain_hello.Incomplete:
        assert not isinstance(outcome, ClientHello)


@given(streams)
def test_openssl_finds_no_other_name(data: bytes) -> None:
    """No client can be judged by one name and served under another."""
    outcome = fast(data)
    if isinstance(outcome, ClientHello):
        assert openssl_hello.agrees(data, outcome.sni)


@given(streams, st.binary(max_size=32))
def test_bytes_after_a_decided_stream_change_nothing(data: bytes, more: bytes) -> None:
    outcome = fast(data)
    if outcome is not None:
        assert fast(data + more) == outcome


@given(
    st.binary(max_size=300),
    st.permutations(sorted(CONTENT)),
    st.integers(0, len(CONTENT)),
    st.integers(0, len(CONTENT)),
    st.binary(max_size=32),
    st.integers(1, 2000),
)
def test_the_name_is_read_wherever_it_stands(
    name: bytes, order: list[int], before: int, after: int, session: bytes, size: int
) -> None:
    others = [CONTENT[kind] for kind in order]
    block = b"".join(others[:before]) + build.server_name(name) + b"".join(others[before:][:after])
    hello = build.records(build.handshake(block, session=session), size)
    assert fast(hello) == ClientHello(name, ech=False)

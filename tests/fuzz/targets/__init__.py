"""One module for each parser that reads the network.

Each has `check(data)`, which raises AssertionError if an invariant does not hold for these bytes
(and must let nothing else through); `parse(data)`, which has the parser read them once, as the
gate does, for its cost to be measured; and TOKENS, words of the format for the fuzzer to play with.
One whose inputs cost much whatever they are says in BASE_SECONDS how much CPU time any may take,
and one whose inputs are short ones in MAX_INPUT how long any gets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol, TypeVar
from zlib import crc32

TARGETS = (
    "http_request",
    "http_response",
    "http_stream",
    "chunked",
    "client_hello",
    "second_hello",
    "proxy_header",
    "quic_packet",
    "quic_frames",
    "quic_hello",
    "names",
    "envelope",
    "snapshot",
    "connections",
)


class Target(Protocol):
    """What a module here offers."""

    TOKENS: Sequence[bytes]

    def check(self, data: bytes) -> None:
        """Raise AssertionError if `data` breaks an invariant."""

    def parse(self, data: bytes) -> object:
        """Have the parser read `data` once; size limits do not get in the way."""


def load(name: str) -> Target:
    """The target of that name."""
    target: Target = import_module(f"{__name__}.{name}")
    return target


def in_two(data: bytes) -> tuple[bytes, bytes]:
    """`data` cut at a place that its bytes decide, so that an input alone repeats a finding."""
    cut = crc32(data) % (len(data) + 1)
    return data[:cut], data[cut:]


Head = TypeVar("Head")


def head_in_two(parse: Callable[[bytearray, int], Head | None], data: bytes) -> Head | None:
    """What `parse(buf, searched)` says where the data comes in two portions."""
    buf, searched = bytearray(), 0
    for portion in in_two(data):
        buf += portion
        head = parse(buf, searched)
        if head is not None:
            return head
        searched = len(buf)
    return None


def now_and_then(data: bytes) -> bool:
    """Whether `data` is one of the few inputs that a costly check is worth: one in 32."""
    return crc32(data) >> 8 & 31 == 0

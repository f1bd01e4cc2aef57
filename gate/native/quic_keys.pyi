from collections.abc import Callable
from typing import NoReturn, Protocol

class _Packet(Protocol):
    start: int
    payload: int
    end: int

def describe(
    versions: tuple[tuple[int, bytes, bytes, bytes, bytes], ...],
    client: bytes,
    server: bytes,
    raises: Callable[[int, int], NoReturn],
) -> None: ...

class CompiledPacketKeys:
    def open(self, datagram: bytes, packet: _Packet, largest: int) -> tuple[int, bytes]: ...
    def seal(self, header: bytes, number: int, payload: bytes) -> bytes: ...

class CompiledInitialKeys:
    version: int
    def __init__(self, dcid: bytes, version: int) -> None: ...
    @property
    def client(self) -> CompiledPacketKeys: ...
    @property
    def server(self) -> CompiledPacketKeys: ...

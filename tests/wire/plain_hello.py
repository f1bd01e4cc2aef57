"""A second ClientHello reader, for the first to agree with: plain, slow, and cut from the RFCs.

Where gate.wire.tls walks offsets, this one takes each vector apart into its bytes and complains
at once about a rest. It reads a message that is all there.
"""

from __future__ import annotations

from gate.wire.tls import MAX_FRAGMENT, MAX_MESSAGE, MAX_RECORDS, ClientHello


class Refused(Exception):
    """The bytes are no ClientHello by the book."""


class Incomplete(Exception):
    """The bytes end before the ClientHello does."""


class Cursor:
    """Takes fields off the front of some bytes."""

    def __init__(self, data: bytes, *, too_short: type[Exception] = Refused) -> None:
        self.data = data
        self.too_short = too_short

        self.at = 0

    @property
    def empty(self) -> bool:
        return self.at == len(self.data)

    def take(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise self.too_short
        return self.data[start : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))


def require(condition: bool) -> None:
    if not condition:
        raise Refused


def read(stream: bytes) -> ClientHello:
    """The hello that `stream` starts with; raises Refused or Incomplete."""
    cursor = Cursor(stream, too_short=Incomplete)
    message = b""
    for _ in range(MAX_RECORDS):
        content, version, size = cursor.number(1), cursor.number(2), cursor.number(2)
        require(content == 22 and version >> 8 == 3 and size <= MAX_FRAGMENT)
        message += cursor.take(size)
        if message:
            require(message[0] == 1)
        if len(message) >= 4:
            whole = 4 + int.from_bytes(message[1:4], "big")
            require(len(message) <= whole <= MAX_MESSAGE)
            if len(message) == whole:
                return read_message(message[4:])
    raise Refused


def read_message(body: bytes) -> ClientHello:
    """RFC 8446 4.1.2."""
    cursor = Cursor(body)
    require(cursor.number(2) >> 8 == 3)
    cursor.take(32)
    session, ciphers, compressions = cursor.vector(1), cursor.vector(2), cursor.vector(1)
    require(len(session) <= 32)
    require(len(ciphers) >= 2 and len(ciphers) % 2 == 0)
    require(len(compressions) >= 1)
    if cursor.empty:
        return ClientHello(None, ech=False)
    block = Cursor(cursor.vector(2))
    require(cursor.empty)
    extensions: dict[int, bytes] = {}
    while not block.empty:
        kind = block.number(2)
        require(kind not in extensions)
        extensions[kind] = block.vector(2)
    sni = read_names(extensions[0]) if 0 in extensions else None
    return ClientHello(sni, ech=0xFE0D in extensions)


def read_names(data: bytes) -> bytes:
    """RFC 6066 section 3."""
    if not data:
        return b""
    outer = Cursor(data)
    names = Cursor(outer.vector(2))
    require(outer.empty)
    if names.empty:
        return b""
    require(names.number(1) == 0)
    name = names.vector(2)
    require(names.empty)
    return name

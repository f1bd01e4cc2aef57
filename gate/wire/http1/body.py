"""Message bodies of known length and bodies that end with the connection.

Each body reader has `feed(data) -> (out, used, done)`: `out` is what to send on,
`used` how many bytes of data belonged to the body, `done` whether the body is
complete. `out` may be a view of data: send or copy it before data changes.
"""


class LengthBody:
    """A body of `length` bytes (RFC 9112 6.2)."""

    __slots__ = ("remaining",)

    def __init__(self, length: int) -> None:
        self.remaining = length

    def feed(self, data: bytes | memoryview) -> tuple[bytes | memoryview, int, bool]:
        size = len(data)
        remaining = self.remaining - size
        if remaining > 0:
            self.remaining = remaining
            return data, size, False
        used = self.remaining
        self.remaining = 0
        if remaining == 0:
            return data, used, True
        return memoryview(data)[:used], used, True


class CloseBody:
    """A body that ends when its sender closes the connection."""

    __slots__ = ()

    def feed(self, data: bytes | memoryview) -> tuple[bytes | memoryview, int, bool]:
        return data, len(data), False

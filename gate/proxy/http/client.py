"""The client's side of an HTTP connection: its socket, what came ahead, what is held for it."""

from __future__ import annotations

from socket import MSG_DONTWAIT, SHUT_WR, SocketType

from gate.proxy.admission import READ_BYTES
from gate.proxy.connection import Connection
from gate.proxy.reactor import IN, Handler


class ClientSide:
    """What is read of a client and sent to it, and what it is watched for.

    `buffer` is what came and was not used yet: heads that are not complete, and requests that
    wait their turn; `charged` is how much of it the worker's budget knows of. `held` is what the
    client has yet to take. `ended` says that it sends nothing more. `deadline` is monotonic.
    """

    __slots__ = (
        "_handler",
        "_plane",
        "buffer",
        "charged",
        "deadline",
        "ended",
        "events",
        "held",
        "sock",
    )

    def __init__(self, connection: Connection, handler: Handler) -> None:
        self._plane = connection.plane
        self._handler: Handler | None = handler
        self.charged = 0
        self.sock: SocketType = connection.sock
        self.buffer = b""
        self.held: memoryview | None = None
        self.ended = False
        self.events = -1  # not watched
        self.deadline = 0.0

    # What is watched, and for how long.

    def want(self, events: int) -> None:
        """Wait for these events, if they are other than before."""
        if events != self.events and self._handler is not None:
            self.events = events
            self._plane.reactor.update(self.sock.fileno(), events, self._handler)

    def want_also(self, events: int) -> None:
        """Wait for these events, too."""
        self.want(max(self.events, 0) | events)

    def want_no(self, events: int) -> None:
        """Wait for these events no more."""
        self.want(max(self.events, 0) & ~events)

    def unwatch(self) -> None:
        """Wait for nothing at all, not even an error."""
        self._plane.reactor.unwatch(self.sock.fileno())
        self.events = -1

    def wait(self, seconds: float) -> None:
        """Set the deadline to so many seconds from now."""
        self.deadline = self._plane.reactor.now + seconds

    def wait_no_longer(self, seconds: float) -> None:
        """Bring the deadline nearer, if it is further off than that."""
        self.deadline = min(self.deadline, self._plane.reactor.now + seconds)

    @property
    def readable(self) -> bool:
        """Whether it may be read now, and may have something to say."""
        return not self.ended and bool(self.events & IN) and self.events >= 0

    # What it sends.

    def end_of_input(self) -> None:
        """It sends nothing more."""
        self.ended = True

    def keep(self, data: bytes) -> None:
        """Put bytes behind what is in the buffer."""
        self.buffer += data

    def replace(self, data: bytes) -> None:
        """Put bytes in the place of what is in the buffer."""
        self.buffer = data

    def settle(self, *, lenient: bool) -> bool:
        """Account to the budget for what the buffer holds; False if that was too much.

        `lenient` takes what came in one read, for it is here already.
        """
        size = len(self.buffer)
        more = size - self.charged
        budget = self._plane.budget
        if more <= 0:
            budget.release(-more)
        elif not budget.hold(more):
            if not lenient or more > READ_BYTES:
                return False
            budget.charge(more)
        self.charged = size
        return True

    # What it is sent.

    def send(self, data: bytes) -> memoryview | None:
        """Send; return what it does not take now.

        A broken connection takes everything: its end is noticed by the next read.
        """
        if self.held is not None:
            return memoryview(data)
        self._plane.counters.down(len(data))
        try:
            sent = self.sock.send(data, MSG_DONTWAIT)
        except BlockingIOError:
            return memoryview(data)
        except OSError:
            return None
        return memoryview(data)[sent:] if sent < len(data) else None

    def hold(self, data: memoryview) -> None:
        """Keep bytes for it, behind what is held already."""
        self.held = self.take_held(data)

    def take_held(self, more: memoryview | None) -> memoryview:
        """Return what is held for it, with `more` after it; it is not held any more."""
        held, self.held = self.held, None
        if held is None:
            return more if more is not None else memoryview(b"")
        return held if more is None else memoryview(bytes(held) + bytes(more))

    def flush(self) -> bool:
        """Send what is held, as far as it goes; return whether anything was sent.

        Raises OSError when the connection is broken.
        """
        held = self.held
        if held is None:
            return False
        try:
            sent = self.sock.send(held)
        except BlockingIOError:
            return False
        self.held = held[sent:] if sent < len(held) else None
        return True

    def shut(self) -> None:
        """End our side, and read on. Raises OSError when the connection is broken."""
        self.sock.shutdown(SHUT_WR)
        self.ended = False
        self.buffer = b""

    def let_go(self) -> None:
        """Hold nothing more; the socket goes on, with another owner or to its end."""
        if self.charged:
            self._plane.budget.release(self.charged)
            self.charged = 0
        self._handler = None  # it points back here: not left to the collector

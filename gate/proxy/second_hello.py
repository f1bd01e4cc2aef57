"""A tunnel whose client is asked for a second ClientHello: that one is judged as the first was.

Until an upstream has answered the first hello, the tunnel passes on nothing that came behind it.
Nearly always the answer is no HelloRetryRequest, and that is all that this costs. If it is one,
the client's side of the tunnel becomes a `HelloFlow` until the second hello has been judged.
"""

from __future__ import annotations

from gate.policy import Verdict
from gate.proxy.admission import READ_BYTES
from gate.proxy.connection import Connection
from gate.proxy.counters import TLS
from gate.proxy.failure import ProxyError
from gate.proxy.flow import Flow, Progress
from gate.wire.hello_retry import SecondHello
from gate.wire.tls import BadHello, ClientHello

OTHER_NAME = "other_name"
"""Kind of the fault of a second hello that asks for another name, which is allowed as well."""


class HelloRefused(ProxyError):
    """The second hello blocks the connection, with this verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class HelloFlow(Flow):
    """What a client sends after a HelloRetryRequest, up to and with its second ClientHello.

    What comes before the hello is passed on at once; the hello when it was judged to ask for what
    the first one did. From then on it is a plain flow. `take`, `pump` and `expire` raise
    HelloRefused.
    """

    __slots__ = ("_charged", "_connection", "_hello", "until")

    def __init__(self, connection: Connection, plain: Flow, until: float) -> None:
        """Take the place of a plain flow; the hello is due at `until` (monotonic seconds)."""
        super().__init__(plain.source, plain.sink, connection.plane.pipes)
        self.moved = plain.moved
        self.ended = plain.ended
        if plain.blocked:
            self.hold(plain.held)
        self.until = until
        self._connection = connection
        self._hello: SecondHello | None = SecondHello()
        self._charged = 0  # bytes of the hello that the worker's budget knows of

    @property
    def waits(self) -> bool:
        """Whether the hello is still to come, or the rest of it."""
        return self._hello is not None and not self.ended

    def expire(self) -> None:
        """The hello has not come in time."""
        second = self._hello
        if second is not None:
            self._refuse(self._connection.plane.decider.timeout)
            self._settle(second.raw)

    def take(self, data: bytes) -> None:
        """Take in what the client has sent."""
        second = self._hello
        if second is None:
            self._put(data)
            return
        passed = -second.passed
        try:
            hello = second.feed(data)
        except BadHello as bad:
            passed += second.passed
            self._refuse(self._connection.malformed(bad.kind))
            self._settle(data[:passed] + (second.raw or data[passed:]))
            return
        passed += second.passed
        if hello is not None:
            refused = self._judge(hello)
            if refused is not None:
                self._refuse(refused)
            self._settle(data[:passed] + second.raw)
            return
        kept = len(data) - passed
        if not self._connection.plane.budget.hold(kept):
            raise HelloRefused(self._connection.plane.decider.limit)
        self._charged += kept
        self._put(data[:passed])

    def pump(self, buffer: memoryview) -> Progress:
        """As a plain flow, but for what waits to be judged."""
        if self._hello is None:
            return super().pump(buffer)
        if not self.flush():
            return Progress.BLOCKED
        try:
            data = self.source.recv(READ_BYTES)
        except BlockingIOError:
            return Progress.STARVED
        if not data:
            self.ended = True
            return Progress.ENDED
        self.moved += len(data)
        self.take(data)
        if not self.flush():
            return Progress.BLOCKED
        return Progress.MORE if len(data) == READ_BYTES else Progress.STARVED

    def close(self) -> None:
        """Let go of what is held; the sockets belong to the connection."""
        self._release()
        super().close()

    def _judge(self, hello: ClientHello) -> Verdict | None:
        """Return the verdict that blocks it, if it asks for anything else than the first did."""
        connection = self._connection
        decider, first = connection.plane.decider, connection.verdict
        verdict = decider.decide_hello(hello.sni, hello.ech)
        if first is None or (verdict.allowed, verdict.name) == (first.allowed, first.name):
            return None
        return connection.malformed(OTHER_NAME) if verdict.allowed else verdict

    def _refuse(self, verdict: Verdict) -> None:
        """Block, or only note it where the listener monitors."""
        connection = self._connection
        if connection.enforcing:
            raise HelloRefused(verdict)
        connection.lets_through(TLS, verdict)

    def _settle(self, data: bytes) -> None:
        """Nothing is looked at any more, and all of it goes on."""
        self._hello = None
        self._release()
        self._put(data)

    def _release(self) -> None:
        self._connection.plane.budget.release(self._charged)
        self._charged = 0

    def _put(self, data: bytes) -> None:
        """Add bytes to what is held for the sink."""
        if data:
            self.hold(bytes(self.held) + data)

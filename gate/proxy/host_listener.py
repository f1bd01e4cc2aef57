"""A listener, as far as it is asked for one of the hosts that the gate stands in front of."""

from __future__ import annotations

from gate.policy import Verdict
from gate.proxy.hosts import HostPool
from gate.proxy.listener import ListenerState
from gate.proxy.networks import ENFORCE, PASS


class HostListener:
    """What the native plane has for the listener of connections to one host.

    It is the listener's state, but for what the destination decides: whether what is not allowed
    is blocked, and what those who observe are told. See gate.proxy.connection for the same of a
    connection of the Python plane's.
    """

    __slots__ = ("blocked", "host", "kind", "name", "passed", "state")

    def __init__(self, state: ListenerState, host: HostPool) -> None:
        self.state = state
        self.host = host
        self.name = state.name
        self.kind = state.kind
        self.passed = state.passed
        self.blocked = state.blocked

    @property
    def accepted(self) -> int:
        """How many connections the listener has accepted."""
        return self.state.accepted

    @accepted.setter
    def accepted(self, count: int) -> None:
        self.state.accepted = count

    @property
    def enforcing(self) -> bool:
        """Whether what is not allowed is blocked: the destination's network says, or listener."""
        mode = self.host.mode
        return self.state.enforcing if mode is None else mode == ENFORCE

    def passes(self, scheme: int, verdict: Verdict, address: str, number: int) -> None:
        """Note that an allowed connection or request is let through."""
        self.state.passes(scheme, verdict, address, number, self.host.name)

    def blocks(self, scheme: int, verdict: Verdict, address: str, number: int) -> None:
        """Note that a connection or request is blocked."""
        self.state.blocks(scheme, verdict, address, number, self.host.name)

    def monitors(self, scheme: int, verdict: Verdict, address: str, number: int) -> None:
        """Note that one is let through although it is not allowed."""
        note = self.state.waives if self.host.mode == PASS else self.state.monitors
        note(scheme, verdict, address, number, self.host.name)

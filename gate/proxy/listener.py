"""One listener at work: its mode, whom it trusts, and what was decided on it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Final

from gate.policy import Reason, Verdict
from gate.proxy.counters import SCHEMES
from gate.proxy.networks import Networks
from gate.settings import Listener, Mode

Observe = Callable[[str, str, str, Verdict, bool, int, str], None]
"""Told of a decision: listener name, scheme, client address, verdict, passed, the number of the
connection (the listener's count of accepted ones in this worker), and the destination that it was
addressed to, "" where that is the listener itself."""

_ACME: Final = Reason.ACME.code
_NAMELESS: Final = frozenset(
    (
        Reason.NO_HOST,
        Reason.NO_SNI,
        Reason.MALFORMED,
        Reason.TIMEOUT,
        Reason.LIMIT,
        Reason.NOT_INTERCEPTED,
    )
)


def observe_nothing(
    listener: str,
    scheme: str,
    address: str,
    verdict: Verdict,
    passed: bool,
    number: int,
    destination: str,
) -> None:
    """Observe nothing."""


class ListenerState:
    """What is true of one listener in one worker, whichever of its sockets is meant.

    `passed`, `blocked` and `monitored` count its decisions by scheme and the reason's code;
    monitored is what was let through only because the listener does not enforce. `trusted` are
    the networks whose connections begin with a PROXY header. `networks` are those of the hosts
    that connections may be sent on to by their destination, None if it has none.
    """

    __slots__ = (
        "_observe",
        "_observing",
        "accepted",
        "blocked",
        "client_source",
        "enforcing",
        "kind",
        "monitored",
        "name",
        "networks",
        "passed",
        "transparent",
        "trusted",
    )

    def __init__(
        self, settings: Listener, observe: Observe = observe_nothing, *, observing: bool = False
    ) -> None:
        """`observing` has allowed decisions observed, too."""
        self.name = settings.name
        self.kind = settings.kind
        self.enforcing = settings.mode is Mode.ENFORCE
        self.accepted = 0
        self.passed, self.blocked, self.monitored = (
            [[0] * len(Reason) for _ in SCHEMES] for _ in range(3)
        )
        self.trusted = [ip_network(n) for n in settings.proxy_protocol_from]
        self.transparent = settings.transparent
        self.client_source = settings.client_source
        self.networks = Networks(settings.destinations) if settings.destinations else None
        self._observe = observe
        self._observing = observing

    def enforce(self, enforcing: bool) -> None:
        """Block what is not allowed from now on, or only report it."""
        self.enforcing = enforcing

    def count(self) -> int:
        """Count a connection that was accepted; return its number."""
        self.accepted += 1
        return self.accepted

    def expects_header(self, address: str) -> bool:
        """Return whether a connection from there is to begin with a PROXY header."""
        ip = ip_address(address)
        return any(ip in network for network in self.trusted)

    # Decisions, each noted once, when it is acted upon.

    def passes(
        self, scheme: int, verdict: Verdict, address: str, number: int, destination: str = ""
    ) -> None:
        """Note that an allowed connection or request is let through."""
        self.passed[scheme][verdict.code] += 1
        if self._observing or verdict.code == _ACME:
            self._observe(self.name, SCHEMES[scheme], address, verdict, True, number, destination)

    def blocks(
        self, scheme: int, verdict: Verdict, address: str, number: int, destination: str = ""
    ) -> None:
        """Note that a connection or request is blocked."""
        self.blocked[scheme][verdict.code] += 1
        self._observe(self.name, SCHEMES[scheme], address, verdict, False, number, destination)

    def monitors(
        self, scheme: int, verdict: Verdict, address: str, number: int, destination: str = ""
    ) -> None:
        """Note that one is let through only because the listener monitors."""
        self.monitored[scheme][verdict.code] += 1
        self._observe(self.name, SCHEMES[scheme], address, verdict, True, number, destination)

    def waives(
        self, scheme: int, verdict: Verdict, address: str, number: int, destination: str
    ) -> None:
        """Note that one is let through because its destination needs no filing."""
        waived = Verdict(True, verdict.reason, verdict.code, verdict.name, verdict.domain)
        self.passes(scheme, waived, address, number, destination)

    # Figures.

    def named_decisions(self) -> int:
        """Return how often a host was decided on, as opposed to what names none."""
        return sum(
            sum(counts[reason.code] for reason in Reason if reason not in _NAMELESS)
            for outcome in (self.passed, self.blocked, self.monitored)
            for counts in outcome
        )

    def decisions(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return scheme, then verdict (`pass`, `block`, `monitor`), then reason, to a count.

        There are no zeros in it.
        """
        return {
            scheme: {
                outcome: {
                    reason.value: counts[index][reason.code]
                    for reason in Reason
                    if counts[index][reason.code]
                }
                for outcome, counts in (
                    ("pass", self.passed),
                    ("block", self.blocked),
                    ("monitor", self.monitored),
                )
            }
            for index, scheme in enumerate(SCHEMES)
        }

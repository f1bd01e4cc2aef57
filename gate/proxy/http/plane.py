"""What all HTTP connections of one worker share, beside the plane itself."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from operator import attrgetter
from typing import Final

from gate.policy import Verdict
from gate.proxy.http.answers import Answers
from gate.proxy.http.challenges import Challenges
from gate.proxy.http.states import DEADLINES, LINGER_SECONDS, PATIENCE, HttpState, Phase
from gate.proxy.http.upstream import IdlePool
from gate.proxy.plane import Plane
from gate.settings import Settings
from gate.wire.http1 import (
    Forwarding,
    ForwardingRules,
    RequestHead,
    RequestParser,
    ResponseParser,
)


class HttpPlane:
    """Parsers, the gate's own answers, kept connections to upstreams, and the time allowed."""

    __slots__ = (
        "_challenges",
        "_trusted",
        "_where_seen",
        "answers",
        "from_trusted",
        "idle",
        "plane",
        "requests",
        "responses",
        "seconds",
        "seconds_busy",
        "shortest",
    )

    def __init__(self, plane: Plane) -> None:
        settings = plane.settings
        self.plane = plane
        self.answers = Answers(settings.notice)
        self._challenges = (
            Challenges(plane.decider, settings.limits, plane.counters.challenges_refused)
            if plane.decider.policy.acme_allowed
            else None
        )
        upstreams = settings.upstreams
        self.requests = _requests(settings, Forwarding(upstreams.forwarded or "append"))
        # Where an origin sees the client's address anyway, nothing is added unless it was asked.
        self._where_seen = (
            _requests(settings, Forwarding.OFF) if upstreams.forwarded is None else self.requests
        )
        self._trusted = [ip_network(network) for network in upstreams.forwarded_from]
        self.from_trusted = _requests(settings, Forwarding.APPEND) if self._trusted else None
        self.responses = ResponseParser(via=upstreams.via)
        self.idle = IdlePool(plane.reactor, settings.upstreams.max_idle_per_address)
        self.seconds: Final[dict[HttpState, float]] = {
            state: attrgetter(limit)(settings) for state, limit in DEADLINES.items()
        } | {HttpState.LINGER: LINGER_SECONDS}
        """How long each state may last."""
        self.seconds_busy: Final[dict[Phase, float]] = {
            phase: attrgetter(limit)(settings) for phase, limit in PATIENCE.items()
        }
        """How long each phase of an exchange may last without progress."""
        self.shortest = min(*self.seconds.values(), *self.seconds_busy.values())
        """The shortest time that a connection may be given."""

    def judge(self, head: RequestHead, address: str) -> Verdict:
        """Return the verdict on a request of the client at `address`, once for each.

        Raises ReplicaError if the replica cannot be read.
        """
        verdict = self.plane.decider.decide_request(head.host)
        if self._challenges is not None and not verdict.allowed:
            return self._challenges.judge(head, verdict, address, self.plane.reactor.now)
        return verdict

    def requests_of(self, address: str, client_source: str = "off") -> RequestParser:
        """Return the parser for the requests of a client, by whether its word counts.

        `client_source` is how the origin sees its address anyway.
        """
        if self.from_trusted is not None:
            ip = ip_address(address)
            if any(ip in network for network in self._trusted):
                return self.from_trusted
        return self.usual_requests(client_source)

    def usual_requests(self, client_source: str) -> RequestParser:
        """Return the parser for the requests of clients whose word does not count."""
        return self.requests if client_source == "off" else self._where_seen

    @property
    def trusts_some(self) -> bool:
        """Whether it depends on the client's address what an origin is told of it."""
        return self.from_trusted is not None

    def close_idle(self) -> None:
        """Close the upstream connections that nobody has used for too long."""
        plane = self.plane
        self.idle.close_unused(plane.reactor.now - plane.settings.upstreams.idle_timeout)


def _requests(settings: Settings, forwarding: Forwarding) -> RequestParser:
    rules = ForwardingRules(forwarding, settings.upstreams.via)
    return RequestParser(max_head=settings.limits.head_bytes, rules=rules)

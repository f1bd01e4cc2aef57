"""The data plane of one worker, as its process sees it: start, figures, cut, drain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from gate.policy import Decider, Reason, Verdict
from gate.proxy.answers import Answers
from gate.proxy.dial import Dial
from gate.proxy.entry import PAUSE_SECONDS, Entry
from gate.proxy.http import HttpConnection
from gate.proxy.http_ending import end_if_idle, hurry_if_idle
from gate.proxy.http_upstream import close_idle
from gate.proxy.plane import LINGER_SECONDS, ListenerState, Observer, Plane
from gate.proxy.reactor import ReactorLoop
from gate.proxy.tunnel import Tunnel
from gate.proxy.upstream import Router
from gate.settings import Listener, Mode, Settings
from gate.wire.http1 import RequestParser, ResponseParser

_DRAIN_POLL_SECONDS = 0.05
_NAMELESS = frozenset(
    (Reason.NO_HOST, Reason.NO_SNI, Reason.MALFORMED, Reason.TIMEOUT, Reason.LIMIT)
)
_SCHEMES = ("http", "tls")


def _ignore(
    listener: str, scheme: str, address: str, verdict: Verdict, passed: bool, number: int
) -> None:
    """Observe nothing."""


class DataPlane:
    """All listeners and connections of one worker, inside one reactor loop."""

    def __init__(
        self,
        settings: Settings,
        decider: Decider,
        listeners: Sequence[tuple[Listener, socket.socket]],
        *,
        loop: ReactorLoop,
        run: str = "",
        observe: Observer = _ignore,
        observing: bool = False,
    ) -> None:
        """`run` tells this process's connections from others' in the log; `observing` has allowed
        decisions observed, too."""
        limits, upstreams = settings.limits, settings.upstreams
        self._loop = loop
        self._plane = Plane(
            settings=settings,
            run=run,
            reactor=loop.reactor,
            decider=decider,
            router=Router(upstreams),
            observe=observe,
            observing=observing,
            answers=Answers(settings.notice),
            requests_parser=RequestParser(max_head=limits.head_bytes),
            responses_parser=ResponseParser(),
            response_timeout=upstreams.response_timeout,
            blocks_ech=settings.policy.ech == "block",
            shortest=min(
                LINGER_SECONDS,
                limits.head_seconds,
                limits.idle_seconds,
                limits.body_idle_seconds,
                upstreams.response_timeout,
            ),
        )
        self._listeners: dict[str, ListenerState] = {}
        self._entries: list[Entry] = []
        for listener, sock in listeners:
            state = self._listeners.setdefault(listener.name, ListenerState(listener))
            self._entries.append(Entry(self._plane, state, sock))
        self._housekeeping: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept connections from now on."""
        for entry in self._entries:
            entry.open()
        self._keep_house()

    def _keep_house(self) -> None:
        plane = self._plane
        oldest = plane.reactor.now - plane.settings.upstreams.idle_timeout
        for endpoint in plane.router.endpoints:
            close_idle(endpoint, oldest)
        for entry in self._entries:
            entry.resume()
        self._housekeeping = self._loop.call_later(PAUSE_SECONDS, self._keep_house)

    # Control.

    def set_mode(self, listener: str | None, mode: Mode) -> None:
        """Switch one listener, or all, between enforcing and monitoring. Raises KeyError.

        The tunnels end that only monitoring let through, as those of a revoked name do.
        """
        chosen = self._listeners.values() if listener is None else [self._listeners[listener]]
        enforcing = mode is Mode.ENFORCE
        switched = [state for state in chosen if state.enforcing is not enforcing]
        for state in switched:
            state.enforcing = enforcing
        if enforcing and self._plane.settings.policy.revoked_connections == "reset":
            self._end_waved(switched)

    def _end_waved(self, listeners: Collection[ListenerState]) -> None:
        """Reset the tunnels of these listeners that are not allowed as of now."""
        judge = self._plane.decider.judge
        for timed in self._plane.reactor.scheduled() if listeners else ():
            open_ = timed.caller if isinstance(timed, Dial) else timed
            if not isinstance(open_, Tunnel) or open_.listener not in listeners:
                continue
            if open_.verdict.name:
                open_.verdict = judge(open_.verdict.name.encode())
            if not open_.verdict.allowed:
                open_.abort("not_allowed")

    def cut(self, domains: Iterable[str]) -> int:
        """Reset what is open at or below these domains and no longer allowed; return how many.

        A name below a revoked domain may have a filing of its own, and stays.
        """
        gone = frozenset(domains)
        # Most changes revoke nothing, and a look at 16,000 connections takes some 13 ms.
        return self._end_blocked(lambda name: _at_or_below(name, gone)) if gone else 0

    def recheck(self) -> int:
        """Reset whatever is open and no longer allowed, after a whole new set."""
        return self._end_blocked(lambda name: True)

    def _end_blocked(self, concerned: Callable[[str], bool]) -> int:
        judge = self._plane.decider.judge
        count = 0
        for timed in self._plane.reactor.scheduled():
            # A tunnel that is being opened is not scheduled itself yet, but its dial is.
            open_ = timed.caller if isinstance(timed, Dial) else timed
            if not isinstance(open_, (Tunnel, HttpConnection)) or not open_.listener.enforcing:
                continue
            verdict = open_.verdict
            if verdict is None or not verdict.allowed or not verdict.name:
                continue  # not judged yet, let through by monitor mode, or by a policy
            if concerned(verdict.name) and not judge(verdict.name.encode()).allowed:
                open_.abort("revoked")
                count += 1
        return count

    async def stop_accepting(self) -> None:
        """Accept no more; the connections that wait in the kernel by now are served first."""
        self._plane.draining = True
        waiting = [(entry, entry.stop()) for entry in self._entries]
        while waiting:
            # A turn each, and then those that are open have theirs.
            waiting = [(e, more) for e, most in waiting if (more := e.serve(most))]
            await asyncio.sleep(0)

    async def drain(self, until: Callable[[], float]) -> None:
        """After `stop_accepting`, let what is open end; cut what is left at the time `until`.

        That is by the loop's clock, and asked again and again: it may come closer.
        """
        plane = self._plane
        for timed in plane.reactor.scheduled():
            if isinstance(timed, HttpConnection):
                hurry_if_idle(timed)
        while plane.open and self._loop.time() < until():  # noqa: ASYNC110 (cheaper than an event)
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        for timed in plane.reactor.scheduled():
            if isinstance(timed, HttpConnection):
                end_if_idle(timed)
        for timed in plane.reactor.scheduled():
            timed.abort()

    def close(self) -> None:
        """Stop at once."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        plane = self._plane
        for entry in self._entries:
            entry.close()
        for timed in plane.reactor.scheduled():
            timed.abort()
        for endpoint in plane.router.endpoints:
            close_idle(endpoint, float("inf"))
        plane.pipes.close()

    def route(self, name: str) -> str:
        """The `match` of the route that a canonical name would take; "default" for none."""
        return self._plane.router.route(name)

    # Figures.

    def named_decisions(self) -> int:
        """How often the decider was asked about a host."""
        return sum(
            sum(counts[reason.code] for reason in Reason if reason not in _NAMELESS)
            for state in self._listeners.values()
            for pair in (state.passed, state.blocked, state.waved)
            for counts in pair
        )

    def stats(self) -> dict[str, Any]:
        """All figures as nested dictionaries of plain ints."""
        plane = self._plane
        endpoints = list(plane.router.endpoints)
        now = plane.reactor.now
        return {
            "decisions": {name: _decisions(state) for name, state in self._listeners.items()},
            "connections_accepted": {n: state.accepted for n, state in self._listeners.items()},
            "connections_open": plane.open,
            "connections_limit": plane.settings.limits.connections_per_worker,
            "connections_ended": dict(plane.ends),
            "pending_bytes": plane.pending,
            "pending_bytes_limit": plane.settings.limits.pending_bytes,
            "requests": plane.requests,
            "responses": {f"{c}xx": plane.responses[c] for c in range(1, 5)}
            # RFC 9110 15: what is above 599 is to be taken for a 5xx.
            | {"5xx": sum(plane.responses[5:])},
            "bytes": {"up": plane.bytes_up, "down": plane.bytes_down},
            "upstream_connects": {e.name: e.connects for e in endpoints},
            "upstream_failures": {e.name: e.failures for e in endpoints},
            "upstream_resting": {e.name: int(e.resting_until > now) for e in endpoints},
            "upstream_idle": {e.name: len(e.idle) for e in endpoints},
            "upstream_connect_seconds": plane.connect_seconds.figures(),
            "first_bytes_seconds": plane.first_bytes_seconds.figures(),
            "ech_hellos": plane.ech,
            "handler_failures": plane.reactor.failures,
        }


def _decisions(state: ListenerState) -> dict[str, dict[str, dict[str, int]]]:
    """Scheme, then verdict (`pass`, `block`, `monitor`), then reason, to a count; no zeros."""
    return {
        scheme: {
            verdict: {reason.value: counts[reason.code] for reason in Reason if counts[reason.code]}
            for verdict, counts in (
                ("pass", state.passed[index]),
                ("block", state.blocked[index]),
                ("monitor", state.waved[index]),
            )
        }
        for index, scheme in enumerate(_SCHEMES)
    }


def _at_or_below(name: str, domains: frozenset[str]) -> bool:
    while name:
        if name in domains:
            return True
        _, _, name = name.partition(".")
    return False

"""The data plane of one worker, as its process sees it: start, figures, cut, drain."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gate.ipc.siblings import Siblings
from gate.net.local_addresses import LocalAddresses
from gate.policy import Decider
from gate.proxy.accept import PAUSE_SECONDS, Entry
from gate.proxy.admission import Admission, Budget
from gate.proxy.connection import Connection
from gate.proxy.dial import Dial
from gate.proxy.first_bytes import FirstBytes
from gate.proxy.host_listener import HostListener
from gate.proxy.hosts import HOSTS, Hosts
from gate.proxy.http import HttpConnection, HttpPlane
from gate.proxy.listener import ListenerState, Observe, observe_nothing
from gate.proxy.native import HTTP_CLIENTS, TUNNELS, BatchObserver, NativeSide
from gate.proxy.networks import Networks
from gate.proxy.plane import Plane
from gate.proxy.reactor import IN, ReactorLoop
from gate.proxy.resolution import Lookup, Resolver, look_up
from gate.proxy.tunnel import Tunnel
from gate.proxy.upstream import OriginEndpoint, Pool, Router
from gate.settings import Listener, Mode, Settings

if TYPE_CHECKING:
    from gate.proxy.udp.plane import QuicPlane

_log = logging.getLogger(__name__)

_DRAIN_POLL_SECONDS = 0.05
_TOLD = 100  # cut connections of one change that get a log line of their own
# What is looked at for a cut or a drain, on either plane.
_TUNNELS: Final[tuple[Any, ...]] = (Tunnel, *TUNNELS)
_HTTP: Final[tuple[Any, ...]] = (HttpConnection, *HTTP_CLIENTS)
_JUDGED: Final[tuple[Any, ...]] = (*_TUNNELS, *_HTTP, Dial)

_MOST_ADDRESSES: Final = 500
"""Addresses of the settings that have figures of their own; those beyond are summed up."""
_OTHERS: Final = "others"
_OF_FILE: Final = "routes_file"
_UPSTREAM_FIGURES: Final = (
    "upstream_connects",
    "upstream_failures",
    "upstream_idle",
    "upstream_responses_refused",
    "upstream_resting",
)


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
        observe: Observe = observe_nothing,
        observing: bool = False,
        observer: BatchObserver | None = None,
        tells: bool = True,
        lookup: Lookup = look_up,
        siblings: Siblings | None = None,
        router: Router | None = None,
    ) -> None:
        """`run` tells this process's connections from others' in the log; `observing` has allowed
        decisions observed, too; `observer` is who `observe` is a method of, for the native plane,
        which notes in batches; `siblings` are the gate's other workers, for QUIC;
        `router` is one that somebody else has a use for, too.
        """
        self._loop = loop
        self._local: LocalAddresses | None = None
        hosts: Hosts | None = None
        if any(listener.destinations for listener, _ in listeners):
            self._local = LocalAddresses()
            hosts = Hosts(settings.limits.destinations, self._local, self._forget_host)
        self._plane = Plane(
            settings=settings,
            run=run,
            reactor=loop.reactor,
            decider=decider,
            router=router or router_of(settings, listeners),
            admission=Admission(settings.limits),
            budget=Budget(settings.limits.pending_bytes),
            hosts=hosts,
        )
        self._resolver = Resolver(
            self._plane.router,
            again_seconds=settings.upstreams.resolve_seconds,
            retry_seconds=settings.upstreams.rest_seconds,
            tells=tells,
            lookup=lookup,
        )
        self._http = HttpPlane(self._plane)
        first_bytes = FirstBytes(self._http)
        self._native = self._native_side(observer, observing=observing)
        self._plane.router.tell_gone(self._forget_pool)
        self._listeners: dict[str, ListenerState] = {}
        self._entries: list[Entry] = []
        datagrams: list[tuple[ListenerState, socket.socket]] = []
        for listener, sock in listeners:
            state = self._listeners.get(listener.name)
            if state is None:
                state = ListenerState(listener, observe, observing=observing)
                self._listeners[listener.name] = state
            if listener.kind == "quic":
                datagrams.append((state, sock))
            elif self._native is None or not self._native.takes(state):
                self._entries.append(Entry(self._plane, state, sock, first_bytes))
            else:
                self._entries.append(self._native.entry(state, sock, first_bytes))
        self._quic = self._quic_planes(datagrams, siblings)
        self._housekeeping: asyncio.TimerHandle | None = None
        file = self._plane.router.file
        # Also before there is traffic: who changes routes waits until each worker has them.
        self._following = None if file is None else loop.create_task(file.follow())

    async def resolve(self) -> None:
        """Resolve the names of origins, before `start`; those that take too long come later."""
        await self._resolver.start(self._plane.settings.upstreams.connect_timeout)

    def _native_side(self, observer: BatchObserver | None, *, observing: bool) -> NativeSide | None:
        plane = self._plane
        engine, ring = plane.reactor.engine, plane.decider.ring
        if engine is None or ring is None:
            return None
        return NativeSide(plane, self._http, engine, ring, observer, observing=observing)

    def _quic_planes(
        self, listeners: Sequence[tuple[ListenerState, socket.socket]], siblings: Siblings | None
    ) -> list[QuicPlane]:
        """Return the plane of the QUIC listeners, if there are any: it takes long to load."""
        if not listeners:
            return []
        from gate.proxy.udp.plane import QuicPlane

        return [QuicPlane(self._plane, listeners, siblings)]

    @property
    def native(self) -> bool:
        """Whether connections come in through the compiled data plane."""
        return self._native is not None

    def start(self) -> None:
        """Accept connections from now on."""
        if self._local is not None:
            self._plane.reactor.watch(self._local.fileno(), IN, self._local.on_ready)
        for entry in self._entries:
            entry.open()
        self._keep_house()

    def change_routes(
        self, path: str, base: str, stamp: str, changes: Mapping[str, str | None] | None
    ) -> bool:
        """Take changes to the routes of a file (see RouteFile.change); return whether they are in
        force. A worker that other settings have started has nothing to do."""
        file = self._plane.router.file
        if file is None or str(file.path) != path:
            return True
        if file.stamp != stamp:
            file.change(base, stamp, changes)
        return file.stamp == stamp

    def _forget_pool(self, pool: Pool) -> None:
        """Close what is kept for a route that is gone."""
        for endpoint in pool.endpoints:
            self._http.idle.close_of(endpoint)
        if self._native is not None:
            self._native.forget(pool)

    def _forget_host(self, endpoint: OriginEndpoint) -> None:
        """Close what is kept for a host that has left the table."""
        self._http.idle.close_of(endpoint)
        if self._native is not None:
            self._native.forget_host(endpoint)

    async def start_datagrams(self) -> None:
        """Take datagrams from now on, and what a predecessor has open."""
        for quic in self._quic:
            await quic.start()

    def _keep_house(self) -> None:
        self._http.close_idle()
        if self._native is not None:
            plane = self._plane
            self._native.close_idle(plane.reactor.now - plane.settings.upstreams.idle_timeout)
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
            state.enforce(enforcing)
        if enforcing:
            self._end_monitored(switched)

    def set_networks(self, listener: str, networks: Networks) -> None:
        """Have the hosts behind a listener take the modes of these networks. Raises KeyError.

        The tunnels end that the modes before let through, and those do not.
        """
        state, hosts = self._listeners[listener], self._plane.hosts
        if hosts is None or state.networks is None or state.networks.has_same_as(networks):
            return
        state.networks = networks
        if hosts.set_modes(listener, networks):
            self._end_monitored([state])

    def _end_monitored(self, listeners: Collection[ListenerState]) -> None:
        """Reset the tunnels of these listeners that are not allowed as of now."""
        if self._plane.settings.policy.revoked_connections != "reset":
            return
        for quic in self._quic:
            quic.end_monitored(listeners)
        for timed in self._plane.reactor.scheduled() if listeners else ():
            tunnel = timed.caller if isinstance(timed, Dial) else timed
            if not isinstance(tunnel, _TUNNELS):
                continue
            listener = tunnel.connection.listener
            state = listener.state if isinstance(listener, HostListener) else listener
            if state not in listeners:
                continue
            if not _enforces(tunnel.connection):
                continue
            if not tunnel.connection.judge_again():
                tunnel.abort("not_allowed")

    def cut(self, domains: Iterable[str], *, revision: int = 0) -> int:
        """Reset what is open at or below these domains and no longer allowed; return how many.

        `revision` is that of the change, for the log; 0 for one that has none.

        A name below a revoked domain may have a filing of its own, and stays.
        """
        gone = frozenset(domains)
        # Most changes revoke nothing, and a look at 16,000 connections takes some 13 ms.
        if not gone:
            return 0
        why = f"revision {revision}" if revision else "a change of this gate's own"
        return self._end_blocked(lambda name: _at_or_below(name, gone), why)

    def recheck(self) -> int:
        """Reset whatever is open and no longer allowed, after a whole new set."""
        return self._end_blocked(lambda name: True, "a whole new set")

    def _end_blocked(self, concerned: Callable[[str], bool], why: str) -> int:
        judge = self._plane.decider.judge
        cuts = _Cuts(why)
        for quic in self._quic:
            quic.end_blocked(concerned, cuts.add)
        for timed in self._plane.reactor.scheduled():
            # What is being opened is not scheduled itself yet, but its dial is.
            if not isinstance(timed, _JUDGED):
                continue  # not judged yet
            connection = timed.connection
            if connection is None or not _enforces(connection):
                continue
            verdict = connection.verdict
            if verdict is None or not verdict.allowed or not verdict.name:
                continue  # let through by monitor mode, or by a policy
            name = verdict.name
            if concerned(name) and not judge(name.encode()).allowed:
                timed.abort("revoked")
                cuts.add(connection, name)
        cuts.sum_up()
        return cuts.count

    async def stop_accepting(self) -> None:
        """Accept no more; the connections that wait in the kernel by now are served first."""
        self._plane.drain()
        for quic in self._quic:
            quic.drain()
        if self._native is not None:
            self._native.drain()
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
            if isinstance(timed, _HTTP):
                timed.hurry_now()
        while self._busy() and self._loop.time() < until():  # noqa: ASYNC110 (cheaper than an event)
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        for timed in plane.reactor.scheduled():
            if isinstance(timed, _HTTP):
                timed.end_if_idle()
        for timed in plane.reactor.scheduled():
            timed.abort()

    def _busy(self) -> bool:
        return bool(self._plane.admission.open or any(map(len, self._quic)))

    def close(self) -> None:
        """Stop at once."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        if self._following is not None:
            self._following.cancel()
        self._resolver.close()
        plane = self._plane
        for entry in self._entries:
            entry.close()
        for quic in self._quic:
            quic.close()
        for timed in plane.reactor.scheduled():
            timed.abort()
        self._http.idle.close_unused()
        if self._local is not None:
            plane.reactor.unwatch(self._local.fileno())
            self._local.close()
        if self._native is not None:
            self._native.close()
        plane.pipes.close()

    # Figures.

    def _fold(self) -> None:
        if self._native is not None:
            self._native.fold()

    def _idle(self, endpoint: OriginEndpoint) -> int:
        native = 0 if self._native is None else self._native.idle(endpoint)
        return self._http.idle.count(endpoint) + native

    def _host_figures(self, hosts: Hosts) -> dict[str, Any]:
        """Return what all hosts together count: one series, however many there are."""
        idle = sum(map(self._idle, hosts.endpoints()))
        return hosts.totals.figures() | {"upstream_idle": idle}

    def named_decisions(self) -> int:
        """Return how often the decider was asked about a host."""
        self._fold()
        return sum(state.named_decisions() for state in self._listeners.values())

    def stats(self) -> dict[str, Any]:
        """Return all figures as nested dictionaries of plain ints."""
        self._fold()
        plane = self._plane
        now = plane.reactor.now
        upstreams: dict[str, dict[str, Any]] = {key: {} for key in _UPSTREAM_FIGURES}
        others = FigureSum()
        for number, origin in enumerate(plane.router.origins):
            figures = origin.figures(now)
            figures["upstream_idle"] = sum(map(self._idle, origin.endpoints))
            if number >= _MOST_ADDRESSES:
                others.add(figures)
                continue
            for key, value in figures.items():
                upstreams[key][str(origin)] = value
        for key, value in others.figures.items():
            upstreams[key][_OTHERS] = value
        if plane.router.file is not None:
            for key, value in plane.router.of_file.figures().items():
                upstreams[key][_OF_FILE] = value
        if plane.hosts is not None:
            for key, value in self._host_figures(plane.hosts).items():
                upstreams[key][HOSTS] = value
        return (
            plane.counters.figures()
            | upstreams
            | {
                "decisions": {name: state.decisions() for name, state in self._listeners.items()},
                "connections_accepted": {n: state.accepted for n, state in self._listeners.items()},
                "connections_open": plane.admission.open,
                "connections_limit": plane.admission.limit,
                "pending_bytes": plane.budget.held,
                "pending_bytes_limit": plane.budget.limit,
                "handler_failures": plane.reactor.failures,
                "routes_behind": int(plane.router.file is not None and plane.router.file.is_behind),
                "workers": {"native": int(self.native), "python": int(not self.native)},
            }
            | ({"quic": self._quic[0].figures()} if self._quic else {})
        )


class FigureSum:
    """The sum of the figures of several origins."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}

    def add(self, figures: Mapping[str, Any]) -> None:
        """Add those of one."""
        for key, value in figures.items():
            if isinstance(value, dict):
                self.figures[key] = dict(Counter(self.figures.get(key, {})) + Counter(value))
            else:
                self.figures[key] = self.figures.get(key, 0) + value


def _enforces(connection: Any) -> bool:
    """Return whether what is not allowed is blocked on a connection of either plane."""
    if isinstance(connection, Connection):
        return connection.enforcing
    return bool(connection.listener.enforcing)


class _Cuts:
    """What one change cuts: a log line for each, or for the first ones and how many there were."""

    def __init__(self, why: str) -> None:
        self._why = why
        self.count = 0

    def add(self, connection: object, name: str) -> None:
        """Note a connection that was let through by a name."""
        self.count += 1
        if self.count <= _TOLD:
            _log.info("%s: cut %s, %s is not allowed any more", self._why, connection, name)

    def sum_up(self) -> None:
        """Tell how many there were, if not all have a line."""
        if self.count > _TOLD:
            _log.info("%s: cut %d connections in all", self._why, self.count)


def _at_or_below(name: str, domains: frozenset[str]) -> bool:
    while name:
        if name in domains:
            return True
        _, _, name = name.partition(".")
    return False


def router_of(
    settings: Settings, listeners: Sequence[tuple[Listener, socket.socket]], *, tells: bool = True
) -> Router:
    """Return the routes to the origins of these listeners."""
    quic = any(listener.kind == "quic" for listener, _ in listeners)
    return Router(settings.upstreams, quic=quic, tells=tells)

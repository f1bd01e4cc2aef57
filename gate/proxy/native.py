"""The one seam between the Python data plane and the native one (gate/native).

Where the native modules were compiled and nobody switched them off, connections come in through
them: what they do not know they hand on to the Python plane, whose limits, health, routes, figures
and words they use. What they write is cut from samples: see native_templates.py.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from socket import SocketType
from typing import TYPE_CHECKING, Any, Final, Protocol

from gate.policy import Verdict
from gate.proxy import failure
from gate.proxy.accept import Entry
from gate.proxy.connection import Connection, connection_name
from gate.proxy.first_bytes import FirstBytes
from gate.proxy.host_listener import HostListener
from gate.proxy.hosts import At, HostPool, NoRoom
from gate.proxy.http import HttpConnection, HttpPlane, take
from gate.proxy.http.parts import first_of_response
from gate.proxy.http.states import DRAIN_IDLE_SECONDS, FLUSH, IDLE, LINGER, Phase
from gate.proxy.listener import ListenerState
from gate.proxy.networks import NotIntercepted
from gate.proxy.plane import Plane
from gate.proxy.tunnel import Tunnel
from gate.proxy.upstream import OriginEndpoint, Pool, UpstreamError
from gate.settings import Process
from gate.wire.http1 import (
    RESPONSE_CHUNKS,
    BadResponse,
    ChunkedBody,
    RequestParser,
    ResponseFault,
    serialise_response,
)

try:
    from gate.native import client, engine, listening, onward, pipes, plane, tunnel, upstream
    from gate.proxy import native_templates
except ImportError as error:
    MISSING: Final = f"it was not compiled ({error})"
    TUNNELS: tuple[Any, ...] = ()
    HTTP_CLIENTS: tuple[Any, ...] = ()
else:
    MISSING: Final = ""  # type: ignore[misc]
    TUNNELS = (tunnel.Tunnel,)
    HTTP_CLIENTS = (client.Client,)

if TYPE_CHECKING:
    from gate.native.verdicts import VerdictRing

_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK

AnyListener = ListenerState | HostListener


class BatchObserver(Protocol):
    """Who notes blocked decisions in batches: see gate.worker.observer.Observer."""

    budget: int

    def counts_of(self, listener: str) -> dict[Verdict, int]:
        """Return how often each verdict blocked on a listener, since the last fold."""
        ...

    def note(
        self, listener: str, scheme: str, address: str, verdict: Verdict, passed: bool, number: int
    ) -> None:
        """Make a line, at the cost of the budget."""
        ...

    def fold(self) -> None:
        """Empty the counts."""
        ...


def why_python(process: Process) -> str:
    """Return why the Python plane does all by itself under these settings; "" where it does not."""
    if process.native == "off":
        return "process.native is off"
    return MISSING


def new_engine(process: Process) -> engine.Engine | None:
    """Return an engine for a worker; None where the Python plane is to do all by itself."""
    if why_python(process):
        return None
    return engine.Engine(process.coalesce_us / 1e6)


class NativeSide:
    """The native part of one worker's data plane."""

    def __init__(
        self,
        shared: Plane,
        http: HttpPlane,
        own: engine.Engine,
        ring: VerdictRing,
        observer: BatchObserver | None,
        *,
        observing: bool,
    ) -> None:
        """`observer` is told of blocked decisions; `observing` has allowed ones observed, too."""
        self._shared = shared
        self._http = http
        self._observer = observer
        self._observing = observing
        self._plane = plane.NativePlane(
            own,
            ring,
            decider=shared.decider,
            router=shared.router,
            counters=shared.counters,
            admission=shared.admission,
            hosts=shared.hosts,
            answers=http.answers,
            adopt=self._adopt,
            adopt_own=self._adopt_own,
            adopt_tunnel=self._adopt_tunnel,
            connection_name=lambda listener, number: connection_name(shared.run, listener, number),
            parse_response=http.responses.parse,
            serialise_response=serialise_response,
            first_of_response=first_of_response,
            odd_chunks=odd_chunks,
            refused=BadResponse,
            fault=ResponseFault,
            no_upstream=UpstreamError,
            failures=_failures(),
            blocks_ech=not shared.decider.policy.ech_allowed,
            with_challenges=shared.decider.policy.acme_allowed,
            limits=_limits(shared, http),
            redirects=native_templates.redirects(http, b""),
            redirects_with_path=native_templates.redirects(http, b"/mark-path"),
            responses=native_templates.responses(http),
        )
        self._trusted = (
            None if http.from_trusted is None else native_templates.onward_of(http.from_trusted)
        )
        self._usual: dict[RequestParser, onward.Onward] = {}
        self._doors: dict[OriginEndpoint, tuple[HostPool, listening.Listening, NativeEntry]] = {}
        http.idle.take_also(self._give_kept)

    def entry(
        self, listener: ListenerState, sock: socket.socket, first_bytes: FirstBytes
    ) -> NativeEntry:
        """Return the entry of one listening socket."""
        http = self._http
        usual = http.usual_requests(listener.client_source)
        if usual not in self._usual:
            self._usual[usual] = native_templates.onward_of(usual)

        def listen(entry: NativeEntry) -> listening.Listening:
            return listening.Listening(
                self._plane,
                sock,
                listener,
                entry,
                self._usual[usual],
                self._trusted,
                (lambda address: http.requests_of(address) is http.from_trusted)
                if http.trusts_some
                else None,
                self._observer,
                self._observing,
                self._door_finder(listener, entry) if listener.transparent != "off" else None,
            )

        return NativeEntry(self._shared, listener, sock, first_bytes, listen)

    @staticmethod
    def takes(listener: ListenerState) -> bool:
        """Whether connections of a listener may come in natively.

        Not where each has to be asked for in netfilter, or takes its client's port with it.
        """
        return listener.transparent == "off" or (
            listener.transparent == "tproxy" and listener.client_source != "address_port"
        )

    def _door_finder(
        self, listener: ListenerState, entry: NativeEntry
    ) -> Callable[[At, str], listening.Listening | None]:
        """Return what finds the way in to a destination, and counts a connection to it in.

        It returns None for one that is none, or that there is no room for: the Python plane, which
        asks again, knows what to say then.
        """
        hosts, networks, doors = self._shared.hosts, listener.networks, self._doors
        seen = listener.client_source != "off"

        def find(at: At, client: str) -> listening.Listening | None:
            if hosts is None or networks is None:
                return None
            source = (client, 0) if seen else None
            try:
                host = hosts.enter(listener.name, networks, at, source=source)
            except (NotIntercepted, NoRoom):
                return None
            endpoint = host.endpoints[0]
            found = doors.get(endpoint)
            if found is None:
                door = entry.listening.door(HostListener(listener, host), host)
                found = doors[endpoint] = host, door, entry
            return found[1]

        return find

    def forget_host(self, endpoint: OriginEndpoint) -> None:
        """Forget a host that has left the table, with the connections kept for it."""
        found = self._doors.pop(endpoint, None)
        if found is not None:
            pool, door, entry = found
            entry.listening.forget(door)
            self.forget(pool)

    def _give_kept(self, endpoint: OriginEndpoint) -> SocketType | None:
        """Give a kept upstream connection to the Python plane."""
        fd = upstream.give_kept(self._plane, endpoint)
        return None if fd < 0 else SocketType(endpoint.family, _STREAM, 0, fd)

    def _adopt(
        self,
        listener: AnyListener,
        fd: int,
        family: int,
        address: str,
        number: int,
        data: bytes,
    ) -> None:
        """Take over a client's connection, which is admitted, with what was read of it."""
        connection = self._connection(listener, fd, family, address, number)
        try:
            take(self._http, connection, data)
        except Exception:
            self._shared.reactor.failed(connection)

    def _adopt_own(
        self,
        listener: AnyListener,
        fd: int,
        family: int,
        address: str,
        number: int,
        verdict: Verdict,
        upstream_fd: int,
        endpoint: OriginEndpoint,
    ) -> None:
        """Take over a client's connection between two requests, with its own upstream connection.

        `upstream_fd` is -1 if that has ended.
        """
        connection = self._connection(listener, fd, family, address, number)
        connection.judged(verdict)
        sock = None if upstream_fd < 0 else SocketType(endpoint.family, _STREAM, 0, upstream_fd)
        try:
            requests = self._http.requests_of(address, connection.listener.client_source)
            HttpConnection(self._http, connection, requests).resume(sock, endpoint)
        except Exception:
            self._shared.reactor.failed(connection)

    def _adopt_tunnel(
        self,
        listener: AnyListener,
        fd: int,
        family: int,
        address: str,
        number: int,
        verdict: Verdict,
        upstream_fd: int,
        endpoint: OriginEndpoint,
        unasked: bytes,
        answer: bytes,
        unsent: bytes,
        ended: bool,
    ) -> None:
        """Take over a tunnel whose upstream may have asked for a second hello in its `answer`.

        The upstream has yet to take `unasked`, the client `unsent`; `ended` is its side.
        """
        connection = self._connection(listener, fd, family, address, number)
        connection.judged(verdict)
        sock = SocketType(endpoint.family, _STREAM, 0, upstream_fd)
        tunnel = Tunnel(connection)
        try:
            tunnel.resume(sock, endpoint, answer, unasked=unasked, unsent=unsent, ended=ended)
        except Exception:
            self._shared.reactor.failed(tunnel)

    def _connection(
        self, listener: AnyListener, fd: int, family: int, address: str, number: int
    ) -> Connection:
        """Return a client's connection that is admitted already, and counted in at its host."""
        if isinstance(listener, HostListener):
            state, host = listener.state, listener.host
        else:
            state, host = listener, None
        sock = SocketType(family, _STREAM, 0, fd)
        try:
            peer = (address, *sock.getpeername()[1:])
        except OSError:  # it has gone already
            peer = (address, 0)
        return Connection.adopted(self._shared, state, sock, peer, number, host)

    def drain(self) -> None:
        """From now on connections are to end rather than to wait for more."""
        self._plane.drain()

    def fold(self) -> None:
        """Add what was counted to the Python plane's figures."""
        self._plane.fold()

    def idle(self, endpoint: object) -> int:
        """Return how many upstream connections are kept for an endpoint."""
        return self._plane.idle_of(endpoint)

    def forget(self, pool: Pool) -> None:
        """Forget a pool that no traffic takes any more, with the connections kept for it."""
        upstream.forget_pool(self._plane, pool)

    def close_idle(self, since: float = float("inf")) -> None:
        """Close the kept upstream connections that nobody has used since then."""
        upstream.close_kept(self._plane, since)

    def close(self) -> None:
        """Close what is kept."""
        self.close_idle()
        pipes.close_kept()


class NativeEntry(Entry):
    """Accepts one listening socket's connections natively, and takes those that are not plain."""

    def __init__(
        self,
        plane: Plane,
        listener: ListenerState,
        sock: socket.socket,
        first_bytes: FirstBytes,
        listen: Callable[[NativeEntry], listening.Listening],
    ) -> None:
        """`listen` makes the native part, which hands on to this entry."""
        super().__init__(plane, listener, sock, first_bytes)
        self.listening = listen(self)

    def _watch(self) -> None:
        self.listening.open()

    def _unwatch(self) -> None:
        self.listening.close()

    def _accept_one(self) -> bool:
        return self.listening.accept()


def _limits(shared: Plane, http: HttpPlane) -> dict[str, float]:
    limits, upstreams = shared.settings.limits, shared.settings.upstreams
    response_head_bytes, response_fields = http.responses.bounds
    return {
        "connections_per_worker": limits.connections_per_worker,
        "connections_per_address": limits.connections_per_address,
        "most_idle": upstreams.max_idle_per_address,
        "response_head_bytes": response_head_bytes,
        "response_fields": response_fields,
        "idle": http.seconds[IDLE],
        "flush": http.seconds[FLUSH],
        "linger": http.seconds[LINGER],
        "sending": http.seconds_busy[Phase.SENDING],
        "waiting": http.seconds_busy[Phase.WAITING],
        "responding": http.seconds_busy[Phase.RESPONDING],
        "drain": DRAIN_IDLE_SECONDS,
        "tunnel": limits.tunnel_idle_seconds,
        "connect": upstreams.connect_timeout,
        "rest": upstreams.rest_seconds,
    }


def _failures() -> dict[str, tuple[int, str]]:
    named = {
        "unreachable": failure.UNREACHABLE,
        "connect_timeout": failure.CONNECT_TIMEOUT,
        "exhausted": failure.EXHAUSTED,
        "broke_off": failure.BROKE_OFF,
        "no_response": failure.NO_RESPONSE,
        "body_timeout": failure.BODY_TIMEOUT,
    }
    return {name: (what.status, what.detail) for name, what in named.items()}


def odd_chunks(in_chunk: bool, left: int) -> ChunkedBody:
    """Return a reader that goes on in a chunked body: `left` bytes of a chunk, or its line end,
    are still to come if it is `in_chunk`; else a size."""
    body = ChunkedBody(RESPONSE_CHUNKS)
    if left:
        body.feed(b"%x\r\n" % left)
    elif in_chunk:
        body.feed(b"1\r\nx")
    return body

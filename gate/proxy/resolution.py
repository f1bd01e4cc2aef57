"""Names of origins, resolved and kept fresh beside the data path, which never waits for it.

The system's resolver blocks, for many seconds where its servers are silent. So threads of our own
ask it, and hand in what they get; they are daemons, which nobody waits for when the worker ends.
(The resolver tells no time to live, so a name is asked for again after a set time.)

Of all addresses that a name has each is used. One of a family that this machine has no way for is
left out, as the resolver would put it last (RFC 6724 6, rule 1). A name that does not resolve rests
like an origin that has failed, and is asked for again soon; one that did keeps what it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from random import uniform
from typing import Final

from gate.proxy.upstream import Origin, Router, SocketAddress, literal
from gate.settings import Address, Settings, UpstreamPool

_log = logging.getLogger(__name__)

_THREADS: Final = 4
_DISCARD: Final = 9  # a port; nothing is sent to it
_SPREAD: Final = (0.9, 1.1)  # so that the questions of many names do not come at one time
_LEAST_SECONDS: Final = 0.1
_OUTCOME: Final = (
    "its traffic is answered with 502 or reset until it does; it is asked for again and again"
)
_STAYS: Final = "the addresses that it had stay in use"

Lookup = Callable[[str], Sequence[SocketAddress]]
"""Host to its socket addresses with the port 0. Raises OSError; blocks."""


def look_up(host: str) -> list[SocketAddress]:
    """Ask the system's resolver; see `Lookup`."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label is empty or too long: nobody can be asked
        raise socket.gaierror(socket.EAI_NONAME, "it is no host's name") from None
    addresses = list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))
    return [at for at in addresses if _has_way(at)] or addresses


def _has_way(at: SocketAddress) -> bool:
    """Return whether this machine has a route to an address; nothing is sent."""
    family, address = at
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((address[0], _DISCARD, *address[2:]))
        except OSError:
            return False
    return True


class Resolver:
    """Keeps a router's names resolved, inside the running loop."""

    def __init__(
        self,
        router: Router,
        *,
        again_seconds: float,
        retry_seconds: float,
        tells: bool = True,
        lookup: Lookup = look_up,
    ) -> None:
        """Names are asked for again after `again_seconds`, after `retry_seconds` if they failed.

        `tells` has the log told: of several workers that find the same one is enough.
        """
        self._router = router
        self._again = again_seconds
        self._retry = max(retry_seconds, _LEAST_SECONDS)
        self._level = logging.WARNING if tells else logging.DEBUG
        self._lookup = lookup
        self._origins: dict[str, list[Origin]] = {}
        for origin in router.origins:
            if literal(origin.address) is None:
                self._origins.setdefault(origin.address.host, []).append(origin)
        self._due: SimpleQueue[str | None] = SimpleQueue()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failed: set[str] = set()  # hosts whose last answer was none
        self._unasked = set(self._origins)
        self._all_asked = asyncio.Event()
        self._closed = False

    async def start(self, within: float) -> None:
        """Ask for all names; return when each was answered once, or after `within` seconds."""
        if not self._origins:
            return
        loop = asyncio.get_running_loop()
        for number in range(min(_THREADS, len(self._origins))):
            threading.Thread(
                target=self._work, args=(loop,), name=f"resolver-{number}", daemon=True
            ).start()
        for host in self._origins:
            self._due.put(host)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._all_asked.wait()
        for host in sorted(self._unasked):
            self._say("%s has not been resolved within %g s: %s", host, within, _OUTCOME)

    def close(self) -> None:
        """Ask no more."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        for _ in range(_THREADS):
            self._due.put(None)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer what is due, in a thread."""
        while (host := self._due.get()) is not None:
            found: Sequence[SocketAddress] = ()
            why = "it has no address"
            try:
                found = self._lookup(host)
            except (OSError, UnicodeError) as error:  # the latter for what is no name at all
                why = getattr(error, "strerror", None) or str(error)
            try:
                loop.call_soon_threadsafe(self._answered, host, found, why)
            except RuntimeError:  # the loop is closed
                return

    def _answered(self, host: str, found: Sequence[SocketAddress], why: str) -> None:
        if self._closed:
            return
        self._unasked.discard(host)
        if not self._unasked:
            self._all_asked.set()
        news = [
            origin
            for origin in self._origins[host]
            if origin.stands_for([_with_port(at, origin.address) for at in found])
        ]
        if news:
            self._router.gather()
        self._tell(host, found, why, bool(news))
        seconds = (self._again if found else self._retry) * uniform(*_SPREAD)  # noqa: S311
        loop = asyncio.get_running_loop()
        self._timers[host] = loop.call_later(seconds, self._due.put, host)

    def _tell(self, host: str, found: Sequence[SocketAddress], why: str, news: bool) -> None:
        """Tell the log what has changed."""
        if found:
            if news or host in self._failed:
                shown = ", ".join(str(address[0]) for _, address in found)
                _log.log(min(self._level, logging.INFO), "origin %s resolves to %s", host, shown)
            self._failed.discard(host)
        elif host not in self._failed:
            self._failed.add(host)
            had = any(origin.resolved for origin in self._origins[host])
            self._say("origin %s does not resolve (%s): %s", host, why, _STAYS if had else _OUTCOME)

    def _say(self, text: str, *values: object) -> None:
        _log.log(self._level, text, *values)


def _pools(settings: Settings) -> Iterator[tuple[str, UpstreamPool]]:
    yield "upstreams.default", settings.upstreams.default
    for number, route in enumerate(settings.upstreams.routes):
        yield f"upstreams.routes[{number}].upstream", route.upstream


def _with_port(at: SocketAddress, address: Address) -> SocketAddress:
    family, (ip, _, *rest) = at
    return family, (ip, address.port, *rest)


def unresolved(settings: Settings, within: float, lookup: Lookup = look_up) -> list[str]:
    """Return a sentence for each name of an origin that does not resolve within so many seconds."""
    hosts: dict[str, str] = {}  # and the setting where it stands
    for where, pool in _pools(settings):
        for kind, addresses in (("http", pool.http), ("tls", pool.tls), ("quic", pool.quic)):
            for address in addresses:
                if literal(address) is None:
                    hosts.setdefault(address.host, f"{where}.{kind}")
    answers: dict[str, str] = {}
    done = threading.Event()

    def ask(share: Iterable[str]) -> None:
        for host in share:
            try:
                answers[host] = "" if lookup(host) else "it has no address"
            except (OSError, UnicodeError) as error:
                answers[host] = getattr(error, "strerror", None) or str(error)
        if len(answers) == len(hosts):
            done.set()

    for number in range(min(_THREADS, len(hosts))):
        threading.Thread(target=ask, args=(list(hosts)[number::_THREADS],), daemon=True).start()
    if hosts:
        done.wait(within)
    return [
        f"{where}: {host} does not resolve ({why}): {_OUTCOME}"
        for host, where in hosts.items()
        if (why := answers.get(host, f"no answer within {within:g} s"))
    ]

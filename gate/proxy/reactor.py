"""The readiness reactor: one epoll descriptor for the data plane and for asyncio alike.

asyncio asks its selector for ready descriptors once in each turn of its loop. Here the selector
*is* the reactor: data-plane descriptors are handled inside `select()`, straight from the epoll
result, and never become asyncio events; every other descriptor (control channel, signals) is
handed on to asyncio as usual. So timers, tasks and signals stay plain asyncio, and a packet costs
no Handle, no Future, no callback queue and no second epoll_wait.

A descriptor that is closed while a batch of events is being handled could be reused, within the
same batch, by a new connection, which would then be given the old one's events. `retire()` keeps
a socket open until the batch is over; that rules it out.

Deadlines are coarse: a wheel of buckets a quarter of a second wide. A connection is looked at
when its bucket comes up and says itself when to look again, so that setting a deadline on the
hot path is one attribute store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from socket import SocketType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from gate.native.engine import Engine

IN = select.EPOLLIN
OUT = select.EPOLLOUT
PRI = select.EPOLLPRI
ERR = select.EPOLLERR
RDHUP = select.EPOLLRDHUP
# For sockets that are read until they are empty: each change is reported once.
EDGE = select.EPOLLET

TICK_SECONDS = 0.25
_MAX_EVENTS = 512
_LAP_SECONDS = 0.01

_log = logging.getLogger(__name__)

Handler = Callable[[int], None]


@runtime_checkable
class Abortable(Protocol):
    """Something that a handler works for."""

    def abort(self) -> None:
        """End at once, with resets."""
        ...


class Timed(Abortable, Protocol):
    """Something the wheel looks at: a connection with a deadline."""

    bucket: int

    def check(self, now: float) -> float:
        """Act on a deadline that has passed; return when to look again (monotonic seconds).

        Zero means never: the connection has ended.
        """
        ...


class Reactor(selectors.BaseSelector):
    """Selector of an asyncio loop that serves the data plane's descriptors by itself.

    `now` is the monotonic clock in seconds, read once for each batch of events.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        """With a native `engine`, its connections are served and looked at, too."""
        self.engine = engine
        self._epoll: select.epoll | Engine = engine or select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._retired: list[SocketType] = []
        self._wheel: dict[int, set[Timed]] = {}
        self._last_tick = int(time.monotonic() / TICK_SECONDS)
        self.now = time.monotonic()
        self.failures = 0
        if engine is not None:
            engine.attach(self)

    # The data plane's side.

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler(events)` whenever `fd` is ready for one of `events`."""
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, fd: int, events: int) -> None:
        """Wait for other events on a watched descriptor."""
        self._epoll.modify(fd, events)

    def update(self, fd: int, events: int, handler: Handler) -> None:
        """Watch a descriptor that may or may not be watched already."""
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor that stays open."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def retire(self, sock: SocketType) -> None:
        """Stop watching a socket and close it once the current batch is over."""
        self._handlers.pop(sock.fileno(), None)  # closing takes it out of the epoll set
        self._retired.append(sock)

    # Deadlines.

    def schedule(self, timed: Timed, when: float) -> None:
        """Look at `timed` at `when` (monotonic seconds), or up to one tick later."""
        tick = int(when / TICK_SECONDS) + 1
        timed.bucket = tick
        bucket = self._wheel.get(tick)
        if bucket is None:
            self._wheel[tick] = {timed}
        else:
            bucket.add(timed)

    def unschedule(self, timed: Timed) -> None:
        """Forget about `timed`; harmless if it is not scheduled."""
        bucket = self._wheel.get(timed.bucket)
        if bucket is not None:
            bucket.discard(timed)

    def scheduled(self) -> Iterator[Timed]:
        """Yield everything that is scheduled, which is every live connection."""
        for bucket in list(self._wheel.values()):
            yield from list(bucket)
        if self.engine is not None:
            yield from self.engine.scheduled()

    def sweep(self) -> None:
        """Look at everything whose time has come. Called once in each tick."""
        if self.engine is not None:
            self.engine.sweep()
        self.now = now = time.monotonic()
        tick = int(now / TICK_SECONDS)
        last, self._last_tick = self._last_tick, tick
        if tick - last > len(self._wheel):
            due = sorted(t for t in self._wheel if t <= tick)
        else:
            due = [t for t in range(last, tick + 1) if t in self._wheel]
        for number in due:
            for timed in self._wheel.pop(number):
                try:
                    again = timed.check(now)
                except Exception:
                    self.failed(timed)
                    continue
                if again:
                    self.schedule(timed, max(again, now))
        self._close_retired()

    def failed(self, owner: object) -> None:
        """A handler of `owner` broke: say so, and end its connection rather than the worker.

        For use where the exception is caught.
        """
        self.failures += 1
        _log.exception("a handler of connection %s failed; it is cut", _name(owner))
        if isinstance(owner, Abortable):
            try:
                owner.abort()
            except Exception:
                _log.exception("connection %s could not be cut", _name(owner))

    # asyncio's side: the interface of selectors.BaseSelector.

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd in self._keys:
            raise KeyError(f"descriptor {fd} is registered already")
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._epoll.register(fd, _to_epoll(events))
        self._keys[fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        fd = self._find(fileobj)
        key = self._keys.pop(fd)
        with contextlib.suppress(OSError):  # asyncio may close a descriptor before it says so
            self._epoll.unregister(fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = self._find(fileobj)
        key = self._keys[fd]
        if events != key.events:
            self._epoll.modify(fd, _to_epoll(events))
        key = key._replace(events=events, data=data)
        self._keys[fd] = key
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, serve the data plane's descriptors, and return the others that are ready.

        A turn of asyncio's loop costs several times a poll, so as long as only the data plane
        has events this stays here, for a lap at most: what a handler asks of asyncio waits no
        longer than that.
        """
        poll, handlers = self._epoll.poll, self._handlers
        wait = -1.0 if timeout is None else max(timeout, 0.0)
        lap_ends = 0.0
        ready: list[tuple[selectors.SelectorKey, int]] = []
        while True:
            try:
                events = poll(wait, _MAX_EVENTS)
            except InterruptedError:
                return ready
            if self.engine is None:  # which has set it for its own handlers
                self.now = time.monotonic()
            now = self.now
            for fd, event in events:
                handler = handlers.get(fd)
                if handler is not None:
                    try:
                        handler(event)
                    except Exception:
                        self.unwatch(fd)
                        self.failed(getattr(handler, "__self__", None))
                elif fd in self._keys:
                    key = self._keys[fd]
                    ready.append((key, _from_epoll(event) & key.events))
            if self._retired:
                self._close_retired()
            if ready or not events:
                return ready
            if not lap_ends:
                lap = _LAP_SECONDS if timeout is None else min(timeout, _LAP_SECONDS)
                lap_ends = now + lap
            wait = lap_ends - now
            if wait <= 0:
                return ready

    def close(self) -> None:
        self._close_retired()
        self._epoll.close()
        self._handlers.clear()
        self._keys.clear()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[self._find(fileobj)]

    def _find(self, fileobj: Any) -> int:
        if isinstance(fileobj, int):
            return fileobj
        fd: int = fileobj.fileno()
        if fd >= 0:
            return fd
        for key in self._keys.values():
            if key.fileobj is fileobj:
                return key.fd
        raise KeyError(f"{fileobj!r} is not registered")

    def _close_retired(self) -> None:
        for sock in self._retired:
            sock.close()
        self._retired.clear()


def _name(owner: object) -> str:
    """Return what the log calls the connection that an object works for, or is."""
    return str(getattr(owner, "connection", owner) or "?")


def _to_epoll(events: int) -> int:
    return (IN if events & selectors.EVENT_READ else 0) | (
        OUT if events & selectors.EVENT_WRITE else 0
    )


def _from_epoll(event: int) -> int:
    return (selectors.EVENT_READ if event & ~OUT else 0) | (
        selectors.EVENT_WRITE if event & ~IN else 0
    )


class ReactorLoop(asyncio.SelectorEventLoop):
    """An asyncio loop with a reactor inside; `reactor` serves the data plane."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.reactor = Reactor(engine)
        super().__init__(self.reactor)
        self.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        try:
            self.reactor.sweep()
        finally:  # without the next tick no time-out would ever pass again
            self.call_later(TICK_SECONDS, self._tick)


def new_event_loop(engine: Engine | None = None) -> ReactorLoop:
    """Return the loop that a worker runs in, with a native engine if there is one."""
    return ReactorLoop(engine)

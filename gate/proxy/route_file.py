"""The routes of a file or folder, in a worker: looked up as text, followed while the gate runs.

A change is seen within a second, and is read in turns, so that traffic goes on beside it. What
cannot be read, or has a line that is no route, changes nothing: the routes before it stay, and the
log says why. The control process, which changes the file when an operator asks it to, says what it
has changed, so that a route of many costs no look at the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

from gate.settings import (
    NOT_REGULAR,
    BadRoute,
    RoutePlaces,
    UpstreamPool,
    each_route,
    pool_of,
    read_routes,
    stamp_of_routes,
    stray_routes,
)

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
_LINES: Final = 200
"""Lines that are read in one turn."""
_MOST_USED: Final = 20_000
"""Routes whose pools are kept; of more, the ones that were used longest ago are made anew."""
_GONE: Final = ""
"""The stamp of what cannot be looked at."""

P = TypeVar("P")


class RouteFile(Generic[P]):
    """The routes of a file or folder; `make` makes the pools of a route when it is used first."""

    def __init__(
        self,
        path: Path,
        make: Callable[[UpstreamPool, str], P],
        gone: Callable[[P], None],
        *,
        tells: bool,
    ) -> None:
        """`gone` is told of pools that no traffic takes any more; `tells` has the log told, which
        one of several workers does.

        Raises BadRoute or OSError.
        """
        self.path = path
        self._make = make
        self._pools_gone = gone
        self._tells = tells
        self._level = logging.INFO if tells else logging.DEBUG
        self.stamp, words = read_routes(path)
        """Of what is in force."""
        self._seen = self.stamp
        self._words = dict(words)
        # By match, with the words: what did not change keeps its health and its connections.
        self._used: OrderedDict[str, tuple[str, P]] = OrderedDict()
        self._look = asyncio.Event()

    def __len__(self) -> int:
        return len(self._words)

    @property
    def is_behind(self) -> bool:
        """Whether the file is another by now than what is in force, as one that cannot be read."""
        return self._seen != self.stamp

    def exact(self, name: str) -> P | None:
        """Return the pools of the route for a name itself."""
        return self._first(name, f".{name}")

    def below(self, domain: str) -> P | None:
        """Return the pools of the route for the names below a domain."""
        return self._first(f"*.{domain}", f".{domain}")

    def _first(self, *matches: str) -> P | None:
        for match in matches:
            words = self._words.get(match)
            if words is not None:
                return self._pools(match, words)
        return None

    def _pools(self, match: str, words: str) -> P:
        used = self._used.get(match)
        if used is not None:
            self._used.move_to_end(match)
            return used[1]
        if len(self._used) >= _MOST_USED:
            self._forget(next(iter(self._used)))
        pools = self._make(pool_of(words), match)
        self._used[match] = words, pools
        return pools

    def change(self, base: str, stamp: str, changes: Mapping[str, str | None] | None) -> None:
        """Take changes to the file, words by match, None for a route that is gone.

        They lead from the stamp `base` to `stamp`. Without them, or if something else is in force
        here, the file is looked at soon.
        """
        if changes is None or self.stamp != base:
            self._look.set()
            return
        self._apply(changes)
        self.stamp = self._seen = stamp

    def _apply(self, changes: Mapping[str, str | None]) -> None:
        for match, words in changes.items():
            if words is None:
                self._words.pop(match, None)
            else:
                self._words[match] = words
            self._forget_changed(match)

    async def follow(self) -> None:
        """Take the file's changes until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._look.wait()
            self._look.clear()
            stamp = self._stamp_now()
            if stamp != self._seen:
                await self._take(stamp)

    def _stamp_now(self) -> str:
        try:
            return stamp_of_routes(self.path)
        except OSError:
            return _GONE

    async def _take(self, stamp: str) -> None:
        """Put in force what the file has under this stamp."""
        before = self.stamp
        self._seen = stamp  # a fault is told once, and looked at again when the file changes
        try:
            changes = await self._read_changes()
        except (BadRoute, OSError) as error:
            where = getattr(error, "file", None) or getattr(error, "filename", None) or self.path
            why = getattr(error, "strerror", None) or str(error)
            level = max(self._level, logging.WARNING) if self._tells else self._level
            _log.log(level, "%s: %s; the routes before it stay", where, why)
            return
        if self.stamp != before:  # a change was taken meanwhile: this may be older
            self._seen = before
            self._look.set()
            return
        self._apply(changes)
        self.stamp = stamp
        _log.log(self._level, "%s: %d routes in force", self.path, len(self._words))
        if self._tells:
            self._tell_of_strays()

    def _tell_of_strays(self) -> None:
        with contextlib.suppress(OSError):
            for file in stray_routes(self.path):
                _log.warning("%s has no routes in force: %s", file, NOT_REGULAR)

    async def _read_changes(self) -> dict[str, str | None]:
        """Return what the file changes. All of it is never here twice: memory that a process has
        had once, it seldom gives back."""
        changes: dict[str, str | None] = {}
        found = RoutePlaces()
        for number, route in enumerate(each_route(self.path, found)):
            if self._words.get(route.match) != route.words:
                changes[route.match] = route.words
            if number % _LINES == 0:
                await asyncio.sleep(0)
        changes.update((match, None) for match in self._words if match not in found.at)
        return changes

    def _forget_changed(self, match: str) -> None:
        """Forget the pools of a route whose words are others now, or that is gone."""
        used = self._used.get(match)
        if used is not None and used[0] != self._words.get(match):
            self._forget(match)

    def _forget(self, match: str) -> None:
        _, pools = self._used.pop(match)
        self._pools_gone(pools)

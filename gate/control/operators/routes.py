"""Routes that operators change while the gate runs: in the file of routes, and in every worker.

The file stays the one truth, which people and programs may edit beside the admin API: what is
changed here is a line of it, its comments stay, and a restart, a reload or an upgrade finds it
there. It is replaced in one step. Where `upstreams.routes_file` is a folder, a route is changed in
the file that has it; new ones, and a whole new set, go to a file of their own there.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gate.control.errors import ControlError
from gate.control.workers import Workers
from gate.files import PUBLIC, draft
from gate.settings import (
    BadRoute,
    RouteLine,
    each_route,
    routes_of_text,
    stamp_of_routes,
)

OWN_FILE: Final = "admin-api.routes"
"""The file in a folder of routes that new routes go to."""


class RoutesError(ControlError):
    """Routes can't be read or changed; nothing was changed."""


class NoRoutesFile(RoutesError):
    """The settings name no file of routes."""


class RoutesUnreadable(RoutesError):
    """What stands in the file is no set of routes, or can't be read."""


class RoutesUnwritable(RoutesError):
    """The file can't be written."""


class BadSet(RoutesError):
    """A whole new set has a line that is no route."""


@dataclass(slots=True, frozen=True)
class SetChange:
    """What a whole new set does to the one before: routes that come, go, and have another pool."""

    added: int
    changed: int
    removed: int
    total: int
    file: Path


@dataclass(slots=True)
class _Known:
    """The routes as the files of a stamp have them."""

    stamp: str
    routes: dict[str, RouteLine]


class Routes:
    """The file of routes, through the one process that changes it for operators."""

    def __init__(self, path: Path | None, workers: Workers) -> None:
        self._path = path
        self._workers = workers
        self._lock = asyncio.Lock()
        self._known: _Known | None = None

    @property
    def path(self) -> Path:
        """The file or folder. Raises NoRoutesFile."""
        if self._path is None:
            raise NoRoutesFile(
                "upstreams.routes_file is not set, and routes are kept there; set it to a file or "
                "folder that the gate may write to, and reload"
            )
        return self._path

    async def all(self) -> list[RouteLine]:
        """Return all routes, in the order in which they stand. Raises RoutesError."""
        async with self._lock:
            return list((await self._load()).routes.values())

    async def get(self, match: str) -> RouteLine | None:
        """Return the route of exactly this match. Raises RoutesError."""
        async with self._lock:
            return (await self._load()).routes.get(match)

    async def put(self, match: str, words: str) -> RouteLine:
        """Write a route down, in place of the one of its match; in force when this returns.

        Raises RoutesError (nothing was changed) or Unconfirmed (written, and not confirmed).
        """
        async with self._lock:
            known = await self._load()
            found = known.routes.get(match)
            file = self._new_file() if found is None else found.file

            def edit(lines: list[str]) -> None:
                if found is None:
                    lines.append(f"{match} {words}")
                else:
                    lines[found.line - 1] = _with_comment_of(lines[found.line - 1], match, words)

            base = known.stamp
            lines = await asyncio.to_thread(self._edit, known, file, edit)
            line = lines if found is None else found.line
            known.routes[match] = route = RouteLine(match, words, file, line)
            await self._enforce(base, known.stamp, {match: words})
            return route

    async def remove(self, match: str) -> RouteLine | None:
        """Take a route away, and return it; None if there is none.

        In force when this returns; raises like `put`.
        """
        async with self._lock:
            known = await self._load()
            found = known.routes.get(match)
            if found is None:
                return None

            def edit(lines: list[str]) -> None:
                del lines[found.line - 1]

            base = known.stamp
            await asyncio.to_thread(self._edit, known, found.file, edit)
            del known.routes[match]
            for later in list(known.routes.values()):
                if later.file == found.file and later.line > found.line:
                    known.routes[later.match] = replace(later, line=later.line - 1)
            await self._enforce(base, known.stamp, {match: None})
            return found

    async def compare(self, text: str) -> SetChange:
        """Return what `replace` would do. Raises RoutesError."""
        async with self._lock:
            known = await self._load()
            return (await asyncio.to_thread(self._compared, known, text))[0]

    async def replace(self, text: str) -> SetChange:
        """Put `text` in the place of the file, or of this API's own in a folder.

        In force when this returns; raises like `put`.
        """
        async with self._lock:
            known = await self._load()
            change, routes = await asyncio.to_thread(self._compared, known, text)
            base = known.stamp
            await asyncio.to_thread(self._write, known, change.file, text)
            others = (r for r in known.routes.values() if r.file != change.file)
            known.routes = {r.match: r for r in (*others, *routes)}
            # The workers read the files, as they are by now.
            await self._enforce(base, self._stamp_now(known), None)
            return change

    def _compared(self, known: _Known, text: str) -> tuple[SetChange, list[RouteLine]]:
        file = self._new_file()
        others = [route for route in known.routes.values() if route.file != file]
        try:
            routes = list(routes_of_text(text, file, others))
        except BadRoute as error:
            raise BadSet(f"{error}; nothing was changed") from None
        before = {r.match: r.words for r in known.routes.values() if r.file == file}
        after = {r.match: r.words for r in routes}
        change = SetChange(
            added=len(after.keys() - before.keys()),
            changed=sum(words != before.get(m, words) for m, words in after.items()),
            removed=len(before.keys() - after.keys()),
            total=len(others) + len(routes),
            file=file,
        )
        return change, routes

    def _new_file(self) -> Path:
        path = self.path
        return path / OWN_FILE if path.is_dir() else path

    async def _load(self) -> _Known:
        """Return the routes as they are in the files now. Raises RoutesError."""
        path = self.path
        try:
            stamp = stamp_of_routes(path)
            if self._known is None or self._known.stamp != stamp:
                routes = await asyncio.to_thread(_read, path)
                self._known = _Known(stamp, routes)
        except BadRoute as error:
            raise RoutesUnreadable(
                f"{error.file}: {error}; the routes before it are in force; mend the file first"
            ) from None
        except OSError as error:
            raise RoutesUnreadable(
                f"{error.filename or path} cannot be read: {error.strerror}; the routes before it "
                "are in force"
            ) from None
        return self._known

    def _edit(self, known: _Known, file: Path, edit: Callable[[list[str]], None]) -> int:
        """Change the lines of a file; return how many there are then. Raises RoutesError."""
        try:
            lines = file.read_bytes().decode().split("\n")
        except FileNotFoundError:
            lines = []
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise RoutesUnreadable(f"{file} cannot be read: {why}") from None
        if lines and not lines[-1]:
            del lines[-1]
        edit(lines)
        self._write(known, file, "".join(f"{line}\n" for line in lines))
        return len(lines)

    def _write(self, known: _Known, file: Path, text: str) -> None:
        """Replace a file, if all files are still what is known. Raises RoutesError.

        The stamp that is known then is of that and nothing else: what somebody else writes at the
        same moment makes it another one, and is read.
        """
        path = self.path
        target = Path(os.path.realpath(file))  # of a link the file that it leads to
        try:
            mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else PUBLIC
            with draft(target.parent, f".{target.name}.", mode=mode) as new:
                new.file.write(text.encode())
                new.sync()
                written = os.fstat(new.file.fileno())  # a new name changes nothing of this
                if stamp_of_routes(path) != known.stamp:
                    raise RoutesUnreadable(
                        f"{path} was changed by somebody else at this moment; nothing was changed, "
                        "look at it and try again"
                    )
                stamp = stamp_of_routes(path, {file: written})
                new.put(target)
            known.stamp = stamp
        except OSError as error:
            raise RoutesUnwritable(
                f"{file} cannot be written: {error.strerror}; nothing was changed; let the user "
                "that the gate runs as write to the file and to its folder"
            ) from None

    def _stamp_now(self, known: _Known) -> str:
        try:
            return stamp_of_routes(self.path)
        except OSError:  # the workers see that, too
            return known.stamp

    async def _enforce(
        self, base: str, stamp: str, changes: Mapping[str, str | None] | None
    ) -> None:
        """Return when every worker has what the file has now; `changes` leads there from `base`.

        Without it each worker reads the file. Raises Unconfirmed.
        """
        await self._workers.take_up(
            "routes",
            {"path": str(self.path), "base": base, "stamp": stamp, "changes": changes},
        )


def _read(path: Path) -> dict[str, RouteLine]:
    return {route.match: route for route in each_route(path)}


def _with_comment_of(line: str, match: str, words: str) -> str:
    """Return a line for a route, with the comment of the one that it replaces."""
    _, mark, comment = line.rstrip("\r").partition("#")
    return f"{match} {words}  #{comment}" if mark else f"{match} {words}"

"""A file of routes, for those who have thousands: a line for each, read anew when it has changed.

    # MATCH, then pools; addresses are IP addresses, for nobody resolves names here
    www.example.cn   http=10.0.0.10:80,10.0.0.11:80  tls=10.0.0.10:443
    .shop.example.cn tls=10.0.0.12:443  send_proxy=v2

A folder in place of the file holds many: those whose names end in `.routes`. A match stands in one
of them alone.

A pool's words are checked when the file is read, and taken apart when the route is used first: most
of many routes are not, and their text takes little room.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2s
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from gate.settings.model import UpstreamPool, Upstreams
from gate.settings.route_match import RouteMatch

SUFFIX: Final = ".routes"
"""How the names of a folder's files of routes end."""

NOT_REGULAR: Final = "it is no regular file; put the routes into one"
"""What is wrong with a FIFO, a device, or a folder in a folder of routes."""

_ADDRESSES: Final = ("http", "tls", "quic")
_SEND_PROXY: Final = ("off", "v1", "v2")
_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN_ADDRESS: Final = rf"{_OCTET}(?:\.{_OCTET}){{3}}:(?:[1-5][0-9]{{4}}|[0-9]{{1,4}})"
_PLAIN_LIST: Final = f"{_PLAIN_ADDRESS}(?:,{_PLAIN_ADDRESS})*"
# What nearly all pools of a long file look like, told in one step: IPv4 addresses, in this order.
_is_plain: Final = re.compile(
    f"(?=[htq])(?:http={_PLAIN_LIST})?(?:(?:^| +)tls={_PLAIN_LIST})?(?:(?:^| +)quic={_PLAIN_LIST})?"
    "(?: +send_proxy=(?:off|v1|v2))?"
).fullmatch
_latest: Final[dict[Path, tuple[str, Mapping[str, str]]]] = {}
"""What was read last, if anything was."""
_match = TypeAdapter(RouteMatch).validate_python


class BadRoute(ValueError):
    """A line of the file is no route: says which line, what is wrong and what to do."""

    def __init__(self, line: int, text: str, file: Path | None = None) -> None:
        """`file` is where the line stands, if it stands in one."""
        super().__init__(f"line {line}: {text}")
        self.line = line
        self.text = text
        self.file = file


@dataclass(slots=True, frozen=True)
class RouteLine:
    """A route, the words of its pool, and where it stands."""

    match: str
    words: str
    file: Path
    line: int


class RoutePlaces:
    """Where the routes of one or more files stand, by their match: in little room, for many."""

    __slots__ = ("_files", "_lines", "at")

    def __init__(self, routes: Iterable[RouteLine] = ()) -> None:
        """`routes` are those that are known already."""
        self.at: dict[str, int] = {}
        self._files: list[tuple[int, Path | None]] = []  # each with the lines of those before it
        self._lines = 0
        of = None
        for route in routes:
            if route.file != of:
                of = route.file
                self.begin(of)
            self.enter(route.match, route.line)

    def begin(self, file: Path | None) -> None:
        """The routes from now on stand in this file."""
        self._files.append((self._lines, file))

    def enter(self, match: str, line: int) -> tuple[Path | None, int] | None:
        """Note a route; return where another one for the same match stands."""
        place = self._files[-1][0] + line
        self._lines = max(self._lines, place)
        first = self.at.setdefault(match, place)
        if first == place:
            return None
        before, file = next(of for of in reversed(self._files) if of[0] < first)
        return file, first - before


def parse_routes(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the match of each route, and the words of its pool. Raises BadRoute."""
    for _, match, words in _routes(enumerate(lines, 1), RoutePlaces(), None):
        yield match, words


def _routes(
    lines: Iterable[tuple[int, str]], known: RoutePlaces, file: Path | None
) -> Iterator[tuple[int, str, str]]:
    """Yield number, match and words of lines; `known` says where the routes before them stand."""
    known.begin(file)
    for number, line in lines:
        match, _, words = line.partition("#")[0].strip().replace("\t", " ").partition(" ")
        if not match:
            continue
        words = words.strip()
        try:
            match = _match(match)
            check_words(words)
        except ValidationError as error:
            raise BadRoute(number, str(error.errors()[0]["ctx"]["error"]), file) from None
        except ValueError as error:
            raise BadRoute(number, str(error), file) from None
        first = known.enter(match, number)
        if first is not None:
            where = f"line {first[1]}"
            if first[0] is not None and first[0] != file:
                where += f" of {first[0]}"
            raise BadRoute(number, f"{match} stands in {where} already; keep one", file)
        yield number, match, words


def route_files(path: Path) -> list[Path]:
    """Return the files that hold the routes, in order: `path`, or those of the folder that it is.

    Of a folder the files count whose names end in `.routes`. Raises OSError.
    """
    return list(_look(path)[0])


def stray_routes(path: Path) -> list[Path]:
    """Return what is named as a file of a folder of routes, and is none: a FIFO, a folder.

    Raises OSError.
    """
    return _look(path)[1]


def _look(path: Path) -> tuple[dict[Path, os.stat_result], list[Path]]:
    """Return the files that hold the routes, in order, and what is only named so."""
    found = path.stat()
    if stat.S_ISREG(found.st_mode):
        return {path: found}, []
    if not stat.S_ISDIR(found.st_mode):  # to open a FIFO would wait for ever
        raise OSError(errno.EINVAL, NOT_REGULAR, str(path))
    files, strays = dict[Path, os.stat_result](), list[Path]()
    for file in sorted(path.iterdir()):
        if file.suffix == SUFFIX and not file.name.startswith("."):
            found = file.stat()
            if stat.S_ISREG(found.st_mode):
                files[file] = found
            else:
                strays.append(file)
    return files, strays


def each_route(path: Path, known: RoutePlaces | None = None) -> Iterator[RouteLine]:
    """Yield the routes of a file, or of all files of a folder. Raises BadRoute or OSError.

    `known` gets the place of each.
    """
    for file, number, match, words in _each(path, known or RoutePlaces()):
        yield RouteLine(match, words, file, number)


def _each(path: Path, known: RoutePlaces) -> Iterator[tuple[Path, int, str, str]]:
    for file in route_files(path):
        with file.open("rb") as lines:
            for number, match, words in _routes(_decoded(enumerate(lines, 1), file), known, file):
                yield file, number, match, words


def routes_of_text(text: str, file: Path, others: Iterable[RouteLine]) -> Iterator[RouteLine]:
    """Yield the routes of what `file` is to hold, beside those of `others`. Raises BadRoute."""
    lines = enumerate(text.split("\n"), 1)
    for number, match, words in _routes(lines, RoutePlaces(others), file):
        yield RouteLine(match, words, file, number)


def _decoded(lines: Iterable[tuple[int, bytes]], file: Path) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRoute(number, "it is not UTF-8; save the file as UTF-8", file) from None


def read_routes(path: Path) -> tuple[str, Mapping[str, str]]:
    """Return the stamp, and the words of each pool by the match of its route.

    What this process, or one that it was forked from, has read last is not read again, if it is of
    the same stamp: the workers share what the supervisor has checked. Raises BadRoute or OSError.
    """
    stamp = stamp_of_routes(path)
    if _latest.get(path, ("",))[0] != stamp:
        words = {match: words for _, _, match, words in _each(path, RoutePlaces())}
        _latest.clear()
        _latest[path] = stamp, words
    return _latest[path]


def stamp_of_routes(path: Path, written: Mapping[Path, os.stat_result] | None = None) -> str:
    """Return a text that is another one whenever the file, or the folder, is. Raises OSError.

    `written` are files that are about to be put there.
    """
    files, strays = _look(path)
    digest = blake2s(digest_size=16)
    for file, found in sorted((files | dict(written or {})).items()):
        parts = (file.name, found.st_mtime_ns, found.st_size, found.st_ino)
        digest.update(repr(parts).encode())
    for file in strays:  # so that whoever follows the folder tells of them
        digest.update(repr(file.name).encode())
    return digest.hexdigest()


def words_of(pool: Mapping[str, Sequence[str]], send_proxy: str) -> str:
    """Return the words that stand for addresses by kind (http, tls, quic). Raises ValueError."""
    for kind, addresses in pool.items():
        for address in addresses:
            if not address.isprintable() or any(char in " ,#" for char in address):
                raise ValueError(f"{kind}: {address!r} is not ADDRESS:PORT; write 10.0.0.10:80")
    words = [f"{kind}={','.join(pool[kind])}" for kind in _ADDRESSES if pool.get(kind)]
    if send_proxy != "off":
        words.append(f"send_proxy={send_proxy}")
    text = " ".join(words)
    check_words(text)
    for address in chain.from_iterable(pool.values()):
        _check_reachable(address)
    return text


def _check_reachable(address: str) -> None:
    """Raise ValueError for an address that this machine can never connect to."""
    host, _, port = address.rpartition(":")
    if int(port) == 0:
        raise ValueError(f"{address!r} has the port 0; write the one that the origin listens on")
    zone = host.strip("[]").partition("%")[2]
    if zone:
        try:
            socket.if_indextoname(int(zone)) if zone.isdecimal() else socket.if_nametoindex(zone)
        except (OSError, OverflowError, ValueError):
            raise ValueError(
                f"{address!r}: this machine has no network interface {zone[:32]!r}"
            ) from None


def pool_of(words: str) -> UpstreamPool:
    """Return the pool that the words of a route stand for."""
    fields: dict[str, Any] = dict(word.split("=", 1) for word in words.split())
    for kind in _ADDRESSES:
        if kind in fields:
            fields[kind] = fields[kind].split(",")
    return UpstreamPool.model_validate(fields)


def check_words(words: str) -> None:
    """Raise ValueError for words that are no pool."""
    if not _is_plain(words):
        _check_each(words)


def _check_each(words: str) -> None:
    seen = set()
    for word in words.split():
        key, equals, value = word.partition("=")
        if not equals or key in seen or (key not in _ADDRESSES and key != "send_proxy"):
            raise ValueError(f"{word!r} is none of http=, tls=, quic= and send_proxy=, each once")
        seen.add(key)
        if key == "send_proxy":
            if value not in _SEND_PROXY:
                raise ValueError(f"send_proxy is one of {', '.join(_SEND_PROXY)}, not {value!r}")
            continue
        for address in value.split(","):
            host, colon, port = address.rpartition(":")
            if host[:1] == "[" and host[-1:] == "]":
                host = host[1:-1]
            elif ":" in host:
                raise ValueError(f"{address!r}: an IPv6 address stands in brackets")
            if not colon or not (port.isascii() and port.isdigit() and int(port) < 65536):
                raise ValueError(f"{address!r} is not ADDRESS:PORT; write 10.0.0.10:80")
            ip_address(host)
    if not seen & set(_ADDRESSES):
        raise ValueError("no address; write http=10.0.0.10:80, tls= or quic= behind the name")


def route_of(settings: Upstreams, name: str, *, strict: bool = False) -> tuple[str, UpstreamPool]:
    """Return the `match` of the route that a canonical name takes, `default` without one, and its
    pool: the name's own route, or that of the nearest domain above it.

    A file that cannot be used has no routes, unless it is asked for strictly: then this raises
    BadRoute or OSError. Lines for other names are not looked at.
    """
    matches, rest = [name, f".{name}"], name
    while rest:
        _, _, rest = rest.partition(".")
        matches += [f"*.{rest}", f".{rest}"]
    pools = {route.match: route.upstream for route in settings.routes}
    of_file: Mapping[str, str] = {}
    if settings.routes_file is not None:
        try:
            of_file = _find(settings.routes_file, set(matches))
        except (BadRoute, OSError):
            if strict:
                raise
    # Both ways to match names at or below a domain are as specific: the settings' come first.
    for pair in zip(matches[::2], matches[1::2], strict=True):
        for match in pair:
            if match in pools:
                return match, pools[match]
        for match in pair:
            if match in of_file:
                return match, pool_of(of_file[match])
    return "default", settings.default


def _find(path: Path, matches: set[str]) -> Mapping[str, str]:
    """Return those routes of a file that are for one of `matches`. Raises BadRoute or OSError."""
    stamp, latest = _latest.get(path, ("", {}))
    if stamp and stamp == stamp_of_routes(path):
        return {match: latest[match] for match in matches if match in latest}
    quoted = b"|".join(re.escape(match.encode()) for match in matches if match)
    begins = re.compile(rb"(?im)^[^\S\n]*(?:%b)\.?(?=[\s#]|$)" % quoted)
    known, found = RoutePlaces(), dict[str, str]()
    for file in route_files(path):
        for _, match, words in _routes(_decoded(_lines_with(begins, file), file), known, file):
            if match in matches:
                found[match] = words
    return found


def _lines_with(begins: re.Pattern[bytes], file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that begin so, with their numbers; and all that are not ASCII, for
    names in Unicode are other texts than those that they stand for."""
    text = file.read_bytes()
    if text.isascii():
        for hit in begins.finditer(text):
            at = hit.start()
            yield text.count(b"\n", 0, at) + 1, text[at : text.find(b"\n", at) % (len(text) + 1)]
    else:
        for number, line in enumerate(text.split(b"\n"), 1):
            if begins.match(line) or not line.isascii():
                yield number, line

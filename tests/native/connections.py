"""Whole connections through both data planes: the same bytes come out, and the same is counted.

A script is what the two ends of a connection do in turn: the client sends the first part, the
origin the second one (on the upstream connection that was opened last), the client the third one,
and so on. An empty part is the end of that side, as is END behind one, at once; NOTHING lets the
other one speak again. LARGE stands for more bytes than buffers hold; with DEAF in its part, a
client reads nothing until its next part. The first byte says which listener is meant. After each
part the planes run until nothing moves any more.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import re
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.planes import PLANES, Plane
from tests.proxy.running import Running, new_loop

SEPARATOR = b"\xfe|"
NOTHING = b"-"
END = b"\xfe."
LARGE = b"\xfe#"
DEAF = b"\xfe~"
LARGE_BYTES = 1 << 20
RECEIVE_BYTES = 1 << 14  # of the client's socket
MOST_PARTS = 12
QUIET_ROUNDS = 3  # without a byte moved
_PAUSES = (0.0, 0.002, 0.02)  # a busy kernel delivers later what it usually delivers at once
_DATE = re.compile(rb"(?<=\r\nDate: )[^\r]{29}(?=\r\n)")
# Which plane it is, and how long an origin that has failed is passed over yet.
_NOT_COMPARED = ("native", "python", "upstream_resting")
_DIAL_PORT = re.compile(r"127\.0\.0\.1:\d+")


def script(*parts: bytes, tls: bool = False) -> bytes:
    """Return the bytes of a script."""
    return (b"t" if tls else b"h") + SEPARATOR.join(parts)


@dataclass(slots=True)
class Ended:
    """What came on a connection and how it ended: `fin`, `reset`, or "" for not at all."""

    data: bytes = b""
    end: str = ""

    def is_like(self, other: Ended, *, large: bool) -> bool:
        """Whether the same came; `large` is for what may have been cut at another place."""
        mine, its = (_DATE.sub(b"now", ended.data) for ended in (self, other))
        if large:
            size = min(len(mine), len(its))
            mine, its = mine[:size], its[:size]
        return (mine, self.end) == (its, other.end)


@dataclass(slots=True)
class Unsaid:
    """What a side has still to say, and whether it ends then."""

    data: bytearray = field(default_factory=bytearray)
    ends: bool = False


@dataclass(slots=True)
class Outcome:
    """What a script came to."""

    client: Ended = field(default_factory=Ended)
    origin: list[Ended] = field(default_factory=list)
    counted: dict[str, float] = field(default_factory=dict)

    def was_cut(self) -> bool:
        """Whether a side's connection was reset."""
        return any(ended.end == "reset" for ended in (self.client, *self.origin))


class Stand:
    """One data plane between a client and an origin, both in this process."""

    def __init__(self, plane: Plane, folder: Path) -> None:
        self._upstream = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._upstream.setblocking(False)
        port = self._upstream.getsockname()[1]
        self._running = Running(new_loop(plane), folder, f"127.0.0.1:{port}")
        self._origin: list[socket.socket] = []
        self._client: socket.socket | None = None
        self._unsaid: dict[socket.socket, Unsaid] = {}
        self._deaf = False
        self._pause = 0.0

    def play(self, data: bytes, pause: float = 0.0) -> Outcome:
        """Play a script from beginning to end; nothing is open or kept afterwards.

        `pause` are the seconds that bytes may be on their way to the other end, even here.
        """
        self._pause = pause
        outcome, before = Outcome(), self._figures()
        self._client = self._running.client(int(data[:1] == b"t"), receive=RECEIVE_BYTES)
        try:
            for number, part in enumerate(data[1:].split(SEPARATOR)[:MOST_PARTS]):
                if number % 2 == 0:
                    self._deaf = DEAF in part
                    self._say(self._client, part.replace(DEAF, b""), ends=part == b"")
                elif self._origin:
                    self._say(self._origin[-1], part, ends=part == b"")
                self._settle(outcome)
            self._deaf = False
            self._say(self._client, b"", ends=True)
            self._settle(outcome)
        finally:
            self._unsaid.clear()
            for sock in (self._client, *self._origin):
                sock.close()
            self._settle(outcome, reads=False)
            for sock in self._origin[len(outcome.origin) :]:
                sock.close()
            self._origin.clear()
        assert self._running.until(lambda: not self._open()), "a connection stays open"
        after = self._figures()
        outcome.counted = {
            key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key)
        }
        return outcome

    def _open(self) -> float:
        found = self._figures()
        return found["connections_open"] + found["upstream_idle.origin"]

    def _settle(self, outcome: Outcome, *, reads: bool = True) -> None:
        """Run the plane, and read what comes, until nothing moves any more."""
        quiet = 0
        while quiet < QUIET_ROUNDS:
            self._running.turn(4)
            moved = self._accept(outcome)
            moved = self._go_on_saying() or moved
            if reads:
                ends = list(zip(self._origin, outcome.origin, strict=True))
                if self._client is not None and not self._deaf:
                    ends.append((self._client, outcome.client))
                for sock, ended in ends:
                    moved = _hear(sock, ended) or moved
            quiet = 0 if moved else quiet + 1
            if quiet and self._pause:
                time.sleep(self._pause)

    def _say(self, sock: socket.socket, part: bytes, *, ends: bool) -> None:
        unsaid = self._unsaid.setdefault(sock, Unsaid())
        said = part.removesuffix(END)
        if said != NOTHING:
            unsaid.data += said.replace(LARGE, b"x" * LARGE_BYTES)
        unsaid.ends = unsaid.ends or ends or said != part
        self._go_on_saying()

    def _go_on_saying(self) -> bool:
        """Say what goes; whether something did."""
        moved = False
        for sock, unsaid in list(self._unsaid.items()):
            try:
                while unsaid.data:
                    del unsaid.data[: sock.send(unsaid.data)]
                    moved = True
                if unsaid.ends:
                    sock.shutdown(socket.SHUT_WR)
            except BlockingIOError:
                continue
            except OSError:  # the other side is gone
                pass
            del self._unsaid[sock]
        return moved

    def _accept(self, outcome: Outcome) -> bool:
        count = len(self._origin)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock = self._upstream.accept()[0]
                sock.setblocking(False)
                self._origin.append(sock)
                outcome.origin.append(Ended())
        return len(self._origin) > count

    def _figures(self) -> dict[str, float]:
        return dict(_flat(self._running.plane.stats()))

    def close(self) -> None:
        self._running.close()
        self._upstream.close()


def _flat(figures: dict[str, Any], above: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for key, value in figures.items():
        name = _DIAL_PORT.sub("origin", key)
        if name in _NOT_COMPARED:
            continue
        if isinstance(value, dict):
            if "seconds" not in name:  # how long it took is nobody's business here
                found += _flat(value, f"{above}{name}.")
        else:
            found.append((above + name, value))
    return found


def _hear(sock: socket.socket, ended: Ended) -> bool:
    if ended.end:
        return False
    try:
        more = sock.recv(1 << 20)
    except BlockingIOError:
        return False
    except OSError:
        ended.end = "reset"
        return True
    ended.data += more
    ended.end = "" if more else "fin"
    return True


class Stands:
    """A stand for each plane that there is; made when the first script comes."""

    def __init__(self) -> None:
        self._stands: list[Stand] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def play(self, data: bytes, pause: float = 0.0) -> list[Outcome]:
        """Return what the script comes to on each plane."""
        if not self._stands:
            self._folder = tempfile.TemporaryDirectory()
            atexit.register(self._close)
            for plane in PLANES:
                folder = Path(self._folder.name) / plane.name
                folder.mkdir()
                self._stands.append(Stand(plane, folder))
        return [stand.play(data, pause) for stand in self._stands]

    def play_on_python(self, data: bytes) -> Outcome:
        """Return what the script comes to on the first plane alone."""
        if not self._stands:
            self.play(b"")
        return self._stands[0].play(data)

    def _close(self) -> None:
        for stand in self._stands:
            stand.close()
        if self._folder is not None:
            self._folder.cleanup()


_stands = Stands()
play_on_python = _stands.play_on_python


def same_connections(data: bytes) -> list[Outcome]:
    """Play a script on all planes and compare. Raises AssertionError for a difference.

    How much of something LARGE was on its way when it was cut depends on the sizes of reads: then
    one side may have got more of the same.
    """
    for pause in _PAUSES:
        outcomes = _stands.play(data, pause)
        try:
            _compare(data, outcomes)
        except AssertionError:
            if pause == _PAUSES[-1]:
                raise
        else:
            break
    return outcomes


def _compare(data: bytes, outcomes: Sequence[Outcome]) -> None:
    for one, other in itertools.pairwise(outcomes):
        large = LARGE in data and one.was_cut()
        assert len(one.origin) == len(other.origin), (one, other)
        for mine, its in zip(one.origin, other.origin, strict=True):
            assert mine.is_like(its, large=large), "at the origin"
        assert one.client.is_like(other.client, large=large), "at the client"
        for key in one.counted.keys() | other.counted.keys():
            if not (large and key.startswith("bytes.")):
                assert one.counted.get(key) == other.counted.get(key), f"in {key}"

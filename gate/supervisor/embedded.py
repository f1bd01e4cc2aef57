"""The embedded registry of `gate serve`, when the settings name no other one.

A replica that `gate import` has filled stays as it is: its list would give way to a registry that
knows nothing of it. Then no registry is run, unless one was made here on purpose.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket
from threading import Event, Thread
from typing import Final

from gate import logs
from gate.ipc.scoreboard import BEAT_SECONDS, Board, ProcessRow
from gate.net.bind import BindError
from gate.registry.embedded import CannotRun, Embedded, prepare, run
from gate.registry.places import Places
from gate.replica import LOCAL_EPOCH, Replica, ReplicaError
from gate.settings import EMBEDDED, NONE, Settings, Sync
from gate.supervisor.child import ProcessRole
from gate.supervisor.errors import CannotStart

_log = logging.getLogger(__name__)

NAME = "registry"
_LEVEL_SECONDS: Final = 1.0


class EmbeddedError(CannotStart):
    """The embedded registry can't be run; says why and what to do."""


@dataclass(slots=True, frozen=True)
class EmbeddedRegistry:
    """The registry that runs beside the gate's own processes, if one does."""

    embedded: Embedded | None

    @classmethod
    def prepare(cls, settings: Settings, listener: socket | None = None) -> EmbeddedRegistry:
        """Bind its port, make keys and tokens if there are none; nothing if none is to run.

        `listener` is its socket that the program before this one has left.
        Before the first fork. Raises EmbeddedError.
        """
        if not cls.is_wanted(settings):
            if settings.sync.registry == EMBEDDED:
                _log.info(
                    "the replica holds an imported list, so no embedded registry is run; to begin "
                    "one, fill it first: gate registry import FILE --db %s",
                    Places.of(settings.registry, settings.state_dir).database,
                )
            return cls(None)
        try:
            return cls(prepare(settings.registry, settings.state_dir, listener))
        except BindError as error:
            raise EmbeddedError(f"{error}, or another sync.registry") from error
        except (CannotRun, OSError) as error:
            raise EmbeddedError(f"the embedded registry can't be run: {error}") from error

    @staticmethod
    def is_wanted(settings: Settings) -> bool:
        """Return whether a gate of these settings runs one."""
        if settings.sync.registry != EMBEDDED:
            return False
        database = Places.of(settings.registry, settings.state_dir).database
        return _exists(database) or not _is_imported(settings.replica_path)

    @property
    def listener(self) -> socket | None:
        """Its socket, if one is run."""
        return None if self.embedded is None else self.embedded.listener

    def resolve(self, sync: Sync) -> Sync:
        """Return the sync's settings with a URL in place of `embedded`."""
        if self.embedded is None:
            return sync.model_copy(update={"registry": NONE}) if sync.registry == EMBEDDED else sync
        return sync.model_copy(
            update={
                "registry": self.embedded.url,
                "token_file": self.embedded.token_file,
                "keys": self.embedded.public_keys,
            }
        )

    @property
    def names(self) -> list[str]:
        """Its row on the board."""
        return [] if self.embedded is None else [NAME]

    def roles(self, others: Sequence[socket], board: Board) -> list[ProcessRole]:
        """Its process; `others` are the gate's sockets."""
        if self.embedded is None:
            return []
        main = partial(_run, self.embedded, others, board)
        return [ProcessRole(NAME, main, carries_traffic=False)]


def _run(embedded: Embedded, others: Sequence[socket], board: Board, row: ProcessRow) -> int:
    for sock in others:
        sock.close()
    # It knows nothing of the gate around it, so the log level is looked after from outside.
    Thread(target=_follow_level, args=(board,), name="log level", daemon=True).start()
    preparing = Event()
    Thread(target=_beat_while, args=(row, preparing), name="signs of life", daemon=True).start()

    async def beat_on() -> None:
        preparing.set()
        await row.beat_on(serving=lambda: True)

    try:
        run(embedded, beside=beat_on)
    except CannotRun as error:
        _log.error("the registry can't go on: %s", error)
        return 1
    return 0


def _follow_level(board: Board) -> None:
    while True:
        logs.follow(board.log_level)
        time.sleep(_LEVEL_SECONDS)


def _beat_while(row: ProcessRow, prepared: Event) -> None:
    """Give signs of life while the database is brought up to date, which may take its time."""
    while not prepared.wait(BEAT_SECONDS):
        row.beat(serving=False)


def _exists(database: str) -> bool:
    return "://" in database or Path(database).exists()


def _is_imported(path: Path) -> bool:
    try:
        with Replica.open(path, writable=False) as replica:
            position = replica.position()
    except ReplicaError:
        return False
    return position is not None and position.epoch == LOCAL_EPOCH

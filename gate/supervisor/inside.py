"""The registry inside `gate serve`, when the settings name no other one.

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
from threading import Thread
from typing import Final

from gate import logs
from gate.registry.embedded import CannotRun, Embedded, prepare, run
from gate.registry.places import Places
from gate.replica import LOCAL_EPOCH, Replica, ReplicaError
from gate.scoreboard import Board
from gate.settings import EMBEDDED, NONE, Settings, Sync
from gate.supervisor.child import Role

log = logging.getLogger("gate.supervisor")

NAME = "registry"
_LEVEL_SECONDS: Final = 1.0


class InsideError(Exception):
    """The registry inside can't be run; says why and what to do."""


@dataclass(slots=True, frozen=True)
class Inside:
    """The registry that runs beside the gate's own processes, if one does."""

    embedded: Embedded | None

    @classmethod
    def prepare(cls, settings: Settings, listener: socket | None = None) -> Inside:
        """Bind its port, make keys and tokens if there are none; nothing if none is to run.

        `listener` is its socket that the program before this one has left.
        Before the first fork. Raises InsideError.
        """
        if settings.sync.registry != EMBEDDED:
            return cls(None)
        database = Places.of(settings.registry, settings.state_dir).database
        if not _exists(database) and _is_imported(settings.replica_path):
            log.info(
                "the replica holds an imported list, so no registry is run inside; to begin one, "
                "fill it first: gate registry import FILE --db %s",
                database,
            )
            return cls(None)
        try:
            return cls(prepare(settings.registry, settings.state_dir, listener))
        except OSError as error:
            raise InsideError(
                f"registry.listen: {settings.registry.listen} can't be used: "
                f"{error.strerror or error}; set another port, or sync.registry"
            ) from error
        except CannotRun as error:
            raise InsideError(f"the registry inside can't be run: {error}") from error

    @property
    def listener(self) -> socket | None:
        """Its socket, if one is run."""
        return None if self.embedded is None else self.embedded.listener

    def resolve(self, sync: Sync) -> Sync:
        """The sync's settings with a URL in place of `embedded`."""
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

    def roles(self, others: Sequence[socket], board: Board) -> list[Role]:
        """Its process; `others` are the gate's sockets."""
        if self.embedded is None:
            return []
        main = partial(_run, self.embedded, others, board)
        return [Role(NAME, main, carries_traffic=False)]


def _run(embedded: Embedded, others: Sequence[socket], board: Board) -> int:
    for sock in others:
        sock.close()
    # It knows nothing of the gate around it, so the log level is looked after from outside.
    Thread(target=_follow_level, args=(board,), name="log level", daemon=True).start()
    try:
        run(embedded)
    except CannotRun as error:
        log.error("the registry can't go on: %s", error)
        return 1
    return 0


def _follow_level(board: Board) -> None:
    while True:
        logs.follow(board.log_level)
        time.sleep(_LEVEL_SECONDS)


def _exists(database: str) -> bool:
    return "://" in database or Path(database).exists()


def _is_imported(path: Path) -> bool:
    try:
        with Replica.open(path, writable=False) as replica:
            position = replica.position()
    except ReplicaError:
        return False
    return position is not None and position.epoch == LOCAL_EPOCH

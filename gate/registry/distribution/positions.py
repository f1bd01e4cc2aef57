"""Gathering what gates tell of the revision that they enforce, on whatever channel they follow.

A fleet tells often, so what it tells is gathered here and written a few times a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from gate.changes.position import GatePosition
from gate.registry.distribution.pusher import GateStatus
from gate.registry.errors import RegistryError

_log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 0.25

Told = dict[str, GatePosition]


class Positions:
    """The newest word of each gate, until it is written."""

    def __init__(
        self,
        write: Callable[[Told, Mapping[str, str]], Awaitable[None]],
        pushed: Callable[[], Sequence[GateStatus]],
        epoch: Callable[[], str],
    ) -> None:
        """`write` keeps what was told, and which gates have another name than before.

        `pushed` are the gates that acknowledge pushes.
        """
        self._write = write
        self._pushed = pushed
        self._epoch = epoch
        self._told: Told = {}
        self._renamed: dict[str, str] = {}
        self._own_names: dict[str, str] = {}
        self._acknowledged: dict[str, float] = {}
        self.news = asyncio.Event()
        """Set, and made anew, when something was written."""

    def take(self, gate: str, position: GatePosition) -> None:
        """Take a gate's word."""
        self._told[gate] = position

    async def run(self) -> None:
        """Write what is told until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._look_at_pushes()
            if not self._told:
                continue
            told, self._told = self._told, {}
            renamed, self._renamed = self._renamed, {}
            try:
                await self._write(told, renamed)
            except RegistryError as error:
                self._told, self._renamed = told | self._told, renamed | self._renamed
                _log.warning("the gates' positions wait to be written: %s", error)
                continue
            news, self.news = self.news, asyncio.Event()
            news.set()

    def _look_at_pushes(self) -> None:
        pushed = self._pushed()
        names = Counter(gate.calls_itself for gate in pushed)
        for gate in pushed:
            acknowledged = gate.acknowledged_at
            if gate.revision is None or self._acknowledged.get(gate.name) == acknowledged:
                continue
            self._acknowledged[gate.name] = acknowledged
            # By the name under which it also pulls and reports: it is one gate. Two that give
            # themselves one name would be taken for one, so they stay apart.
            own = gate.calls_itself if names[gate.calls_itself] == 1 else None
            if own is not None and own not in (gate.name, self._own_names.get(gate.name)):
                self._own_names[gate.name] = own
                if gate.name not in names:  # else that is what another calls itself
                    self._renamed[gate.name] = own
            self._told[own or gate.name] = GatePosition(
                epoch=self._epoch(), revision=gate.revision, channel="push"
            )

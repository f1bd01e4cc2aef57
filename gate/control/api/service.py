"""What the API's handlers work with: the parts of the control process, and changes to the gate."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from gate.control.api.access import Caller, Guard
from gate.control.api.problems import Refusal
from gate.control.blocked.table import BlockedTable
from gate.control.following import Following
from gate.control.health import Health
from gate.control.metrics.figures import Figures
from gate.control.metrics.pulse import Pulse
from gate.control.operators.audit import AuditError, AuditLog
from gate.control.operators.explaining import Explainer
from gate.control.operators.overrides import Overrides
from gate.control.operators.routes import Routes
from gate.control.operators.runtime import Runtime
from gate.control.workers import Unconfirmed, Workers
from gate.files import MALFORMED
from gate.ipc.scoreboard import Board
from gate.replica import Replica
from gate.settings import Mode, Settings

_log = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class AdminService:
    """A running gate in the hands of its operators."""

    settings: Settings
    board: Board
    replica: Replica
    workers: Workers
    health: Health
    figures: Figures
    pulse: Pulse
    unfiled: BlockedTable
    overrides: Overrides
    routes: Routes
    explainer: Explainer
    runtime: Runtime
    audit: AuditLog
    guard: Guard
    following: Following
    large: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one large answer that is being made."""

    def record(self, caller: Caller, by: str, action: str, target: str = "", **detail: Any) -> None:
        """Write a change down, before it is made. Raises Refusal."""
        try:
            self.audit.record(
                actor=caller.actor, peer=caller.peer, by=by, action=action, target=target, **detail
            )
        except AuditError as error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not_audited", str(error)) from error
        shown = " ".join(f"{key}={value}" for key, value in detail.items() if value is not None)
        what = " ".join(filter(None, (action, target, shown)))
        _log.info("%s: %s", by or caller.actor, what)

    async def set_modes(self, listeners: list[str], mode: Mode) -> None:
        """Switch listeners, and return when every worker has. Raises Refusal."""
        chosen = dict.fromkeys(listeners, mode)
        self._keep(modes=self.runtime.modes | chosen)
        await self._order("modes", modes=chosen)

    async def set_level(self, level: str) -> None:
        """Set the log level; every worker has it then, the other processes within a second.

        Raises Refusal.
        """
        self._keep(level=level)
        self.runtime.set_level(level)
        await self._order("level", level=level)

    def withdraw(self, withdrawn: bool) -> None:
        """Take the gate out of rotation, or back in. Raises Refusal."""
        self._keep(withdrawn=withdrawn)
        self.health.check()

    def signal_supervisor(self, number: signal.Signals) -> None:
        """Send a signal to the parent of all processes."""
        os.kill(os.getppid(), number)

    def addresses(self) -> dict[str, str]:
        """Return what listens where, as the supervisor wrote it down.

        Empty if that cannot be read.
        """
        try:
            found = json.loads(self.settings.addresses_path.read_bytes())
            return {str(name): str(address) for name, address in found.items()}
        except (OSError, *MALFORMED):
            return {}

    @property
    def host(self) -> str:
        """The name of this machine."""
        return socket.gethostname()

    def _keep(self, **changes: Any) -> None:
        """Change the runtime state, on the disk first."""
        before = {name: getattr(self.runtime, name) for name in changes}
        self._assign(changes)
        try:
            self.runtime.save()
        except OSError as error:
            self._assign(before)
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not_kept",
                f"{self.runtime.path} cannot be written: {error.strerror}; nothing was changed, "
                "free some room and try again",
            ) from error

    def _assign(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            setattr(self.runtime, name, value)

    async def _order(self, kind: str, **fields: object) -> None:
        try:
            await self.workers.order(kind, fields)
        except Unconfirmed as error:
            raise unconfirmed(error) from error


def unconfirmed(error: Unconfirmed) -> Refusal:
    """Return the refusal for a change that is made, and that not every worker has confirmed."""
    return Refusal(HTTPStatus.GATEWAY_TIMEOUT, "unconfirmed", str(error))

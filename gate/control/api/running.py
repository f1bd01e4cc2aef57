"""Changes to a running gate: mode, log level, rotation, reload, stop."""

from __future__ import annotations

import json
import logging
import signal
from datetime import datetime
from http import HTTPStatus
from typing import Literal

from pydantic import Field

from gate.control.api.access import Access
from gate.control.api.endpoint import AdminCall, AdminEndpoint
from gate.control.api.overriding import By
from gate.control.api.problems import Refusal
from gate.files import MALFORMED
from gate.net.model import Model
from gate.settings import Mode

_log = logging.getLogger(__name__)

Level = Literal["debug", "info", "warning", "error"]


class ModeBody(Model):
    """A mode for one listener, or for all."""

    mode: Mode
    listener: str | None = Field(None, max_length=32, description="Null is every listener.")
    by: By = ""


class ModeView(Model):
    """A listener's mode, and the one that the settings give it."""

    listener: str
    mode: Mode
    configured: Mode


class ModeList(Model):
    """Every listener's mode."""

    items: tuple[ModeView, ...]


class LevelBody(Model):
    """A log level."""

    level: Level
    by: By = ""


class LevelView(Model):
    """The log level of the gate's processes, and the one of the settings."""

    level: Level
    configured: Level


class DrainBody(Model):
    """Whether the gate is out of rotation."""

    draining: bool = Field(
        description="True: /readyz says no, so that a load balancer turns away; what still comes "
        "is served. False: back in rotation."
    )
    by: By = ""


class DrainView(Model):
    """Whether the gate is out of rotation, and how many connections are open."""

    draining: bool
    connections_open: int


class WhoBody(Model):
    """Who asks for it."""

    by: By = ""


class StopView(Model):
    """The gate has begun to stop."""

    stopping: bool
    drain_seconds: float


class ReloadResult(Model):
    """What came of a reload: taken, or refused or rolled back with its problems.

    `kept` are keys that need a restart.
    """

    at: datetime
    taken: bool
    problems: tuple[str, ...]
    kept: tuple[str, ...]


class ReloadView(Model):
    """The reloads of this run of the gate, and the last one's result.

    `patience_seconds` is what the new processes of a reload have to serve.
    """

    taken: int
    refused: int
    rolled_back: int
    patience_seconds: float
    last: ReloadResult | None


def modes(call: AdminCall) -> ModeList:
    """Return every listener's mode."""
    service = call.service
    return ModeList(
        items=tuple(
            ModeView(
                listener=item.name,
                mode=service.runtime.mode_of(item.name, service.settings),
                configured=item.mode,
            )
            for item in service.settings.listeners
        )
    )


async def show_modes(call: AdminCall) -> ModeList:
    """Return every listener's mode."""
    return modes(call)


async def set_mode(call: AdminCall) -> ModeList:
    """Switch listeners; in force in every worker when this answers."""
    body: ModeBody = call.body
    known = [item.name for item in call.service.settings.listeners]
    if body.listener is not None and body.listener not in known:
        raise Refusal(
            HTTPStatus.NOT_FOUND,
            "listener_unknown",
            f"there is no listener {body.listener!r}; there are {', '.join(known) or 'none'}",
            field="listener",
        )
    chosen = known if body.listener is None else [body.listener]
    call.service.record(
        call.caller, body.by, "mode", body.listener or "all listeners", mode=body.mode.value
    )
    await call.service.set_modes(chosen, body.mode)
    return modes(call)


def level(call: AdminCall) -> LevelView:
    """Return the log level in force."""
    present = logging.getLevelName(logging.getLogger().level).lower()
    return LevelView(level=present, configured=call.service.settings.log.level)


async def show_level(call: AdminCall) -> LevelView:
    """Return the log level."""
    return level(call)


async def set_level(call: AdminCall) -> LevelView:
    """Set the log level of the gate's processes."""
    body: LevelBody = call.body
    call.service.record(call.caller, body.by, "log level", body.level)
    await call.service.set_level(body.level)
    return level(call)


def drain(call: AdminCall) -> DrainView:
    """Return where a drain stands."""
    open_ = call.service.figures.totals().get(("connections_open",), 0.0)
    return DrainView(
        draining=call.service.runtime.withdrawn or call.service.board.draining,
        connections_open=int(open_),
    )


async def show_drain(call: AdminCall) -> DrainView:
    """Return where a drain stands."""
    return drain(call)


async def set_drain(call: AdminCall) -> DrainView:
    """Take the gate out of rotation, or back in."""
    body: DrainBody = call.body
    call.service.record(call.caller, body.by, "drain" if body.draining else "end drain")
    call.service.withdraw(body.draining)
    return drain(call)


async def stop(call: AdminCall) -> StopView:
    """Drain with the deadline of the settings, and end the gate."""
    body: WhoBody = call.body
    call.service.record(call.caller, body.by, "stop")
    call.service.signal_supervisor(signal.SIGTERM)
    return StopView(stopping=True, drain_seconds=call.service.settings.process.drain_seconds)


def reloads(call: AdminCall) -> ReloadView:
    """Return the reloads so far."""
    board = call.service.board
    last = None
    try:
        fields = json.loads(call.service.settings.reload_path.read_bytes())
        if fields.pop("born") == board.born:
            last = ReloadResult.model_validate(fields)
    except FileNotFoundError:
        pass
    except (OSError, *MALFORMED) as error:  # pydantic's errors are ValueErrors
        _log.warning("%s: %s", call.service.settings.reload_path, error)
    return ReloadView(
        taken=board.reloads,
        refused=board.reloads_refused,
        rolled_back=board.reloads_rolled_back,
        patience_seconds=call.service.settings.process.reload_seconds,
        last=last,
    )


async def show_reloads(call: AdminCall) -> ReloadView:
    """Return the reloads so far, and the last one's result."""
    return reloads(call)


async def reload(call: AdminCall) -> ReloadView:
    """Have the settings read again; the answer is what stood before."""
    body: WhoBody = call.body
    call.service.record(call.caller, body.by, "reload")
    before = reloads(call)
    call.service.signal_supervisor(signal.SIGHUP)
    return before


ENDPOINTS = (
    AdminEndpoint(
        "GET",
        "/v1/mode",
        "showModes",
        "Every listener's mode",
        show_modes,
        Access.READ,
        answer=ModeList,
    ),
    AdminEndpoint(
        "PUT",
        "/v1/mode",
        "setMode",
        "Switch listeners between enforce and monitor, until the next reload or start",
        set_mode,
        Access.WRITE,
        body=ModeBody,
        answer=ModeList,
    ),
    AdminEndpoint(
        "GET",
        "/v1/log-level",
        "showLogLevel",
        "The log level",
        show_level,
        Access.READ,
        answer=LevelView,
    ),
    AdminEndpoint(
        "PUT",
        "/v1/log-level",
        "setLogLevel",
        "Set the log level of the gate's processes, until the next reload or start",
        set_level,
        Access.WRITE,
        body=LevelBody,
        answer=LevelView,
    ),
    AdminEndpoint(
        "GET",
        "/v1/drain",
        "showDrain",
        "Where a drain stands",
        show_drain,
        Access.READ,
        answer=DrainView,
    ),
    AdminEndpoint(
        "PUT",
        "/v1/drain",
        "setDrain",
        "Take the gate out of rotation, or back in",
        set_drain,
        Access.WRITE,
        body=DrainBody,
        answer=DrainView,
    ),
    AdminEndpoint(
        "POST",
        "/v1/stop",
        "stop",
        "Drain, and end the gate",
        stop,
        Access.WRITE,
        body=WhoBody,
        answer=StopView,
        status=HTTPStatus.ACCEPTED,
    ),
    AdminEndpoint(
        "GET",
        "/v1/reload",
        "showReloads",
        "The reloads so far, and the last one's result",
        show_reloads,
        Access.READ,
        answer=ReloadView,
    ),
    AdminEndpoint(
        "POST",
        "/v1/reload",
        "reload",
        "Have the settings read again; GET tells when it is done",
        reload,
        Access.WRITE,
        body=WhoBody,
        answer=ReloadView,
        status=HTTPStatus.ACCEPTED,
    ),
)

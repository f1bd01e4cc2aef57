"""Changes to a running gate: mode, log level, rotation, reload, stop."""

from __future__ import annotations

import json
import logging
import signal
from datetime import datetime
from http import HTTPStatus
from typing import Literal

from pydantic import Field, ValidationError

from gate.control.api.endpoint import Call, Endpoint
from gate.control.api.model import Model
from gate.control.api.overriding import By
from gate.control.api.problems import Refusal
from gate.settings import Mode

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
    """What came of a reload: taken, or refused with its problems; `kept` needs a restart."""

    at: datetime
    taken: bool
    problems: tuple[str, ...]
    kept: tuple[str, ...]


class ReloadView(Model):
    """The reloads of this run of the gate, and the last one's result."""

    taken: int
    refused: int
    last: ReloadResult | None


def modes(call: Call) -> ModeList:
    """Every listener's mode."""
    operator = call.operator
    return ModeList(
        items=tuple(
            ModeView(
                listener=item.name,
                mode=operator.runtime.mode_of(item.name, operator.settings),
                configured=item.mode,
            )
            for item in operator.settings.listeners
        )
    )


async def show_modes(call: Call) -> ModeList:
    """Every listener's mode."""
    return modes(call)


async def set_mode(call: Call) -> ModeList:
    """Switch listeners; in force in every worker when this answers."""
    body: ModeBody = call.body
    known = [item.name for item in call.operator.settings.listeners]
    if body.listener is not None and body.listener not in known:
        raise Refusal(
            HTTPStatus.NOT_FOUND,
            "listener_unknown",
            f"there is no listener {body.listener!r}; there are {', '.join(known) or 'none'}",
            field="listener",
        )
    chosen = known if body.listener is None else [body.listener]
    call.operator.record(
        call.caller, body.by, "mode", body.listener or "all listeners", mode=body.mode.value
    )
    await call.operator.set_modes(chosen, body.mode)
    return modes(call)


def level(call: Call) -> LevelView:
    """The log level in force."""
    present = logging.getLevelName(logging.getLogger().level).lower()
    return LevelView(level=present, configured=call.operator.settings.log.level)


async def show_level(call: Call) -> LevelView:
    """The log level."""
    return level(call)


async def set_level(call: Call) -> LevelView:
    """Set the log level of the gate's processes."""
    body: LevelBody = call.body
    call.operator.record(call.caller, body.by, "log level", body.level)
    await call.operator.set_level(body.level)
    return level(call)


def drain(call: Call) -> DrainView:
    """Where a drain stands."""
    open_ = call.operator.figures.totals().get(("connections_open",), 0.0)
    return DrainView(
        draining=call.operator.runtime.withdrawn or call.operator.board.draining,
        connections_open=int(open_),
    )


async def show_drain(call: Call) -> DrainView:
    """Where a drain stands."""
    return drain(call)


async def set_drain(call: Call) -> DrainView:
    """Take the gate out of rotation, or back in."""
    body: DrainBody = call.body
    call.operator.record(call.caller, body.by, "drain" if body.draining else "end drain")
    call.operator.withdraw(body.draining)
    return drain(call)


async def stop(call: Call) -> StopView:
    """Drain with the deadline of the settings, and end the gate."""
    body: WhoBody = call.body
    call.operator.record(call.caller, body.by, "stop")
    call.operator.signal_supervisor(signal.SIGTERM)
    return StopView(stopping=True, drain_seconds=call.operator.settings.process.drain_seconds)


def reloads(call: Call) -> ReloadView:
    """The reloads so far."""
    board = call.operator.board
    last = None
    try:
        fields = json.loads(call.operator.settings.reload_path.read_text(encoding="utf-8"))
        if fields.pop("born") == board.born:
            last = ReloadResult.model_validate(fields)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, ValidationError) as error:
        logging.getLogger("gate.admin").warning("%s: %s", call.operator.settings.reload_path, error)
    return ReloadView(taken=board.reloads, refused=board.reloads_refused, last=last)


async def show_reloads(call: Call) -> ReloadView:
    """The reloads so far, and the last one's result."""
    return reloads(call)


async def reload(call: Call) -> ReloadView:
    """Have the settings read again; the answer is what stood before."""
    body: WhoBody = call.body
    call.operator.record(call.caller, body.by, "reload")
    before = reloads(call)
    call.operator.signal_supervisor(signal.SIGHUP)
    return before


ENDPOINTS = (
    Endpoint("GET", "/v1/mode", "showModes", "Every listener's mode", show_modes, answer=ModeList),
    Endpoint(
        "PUT",
        "/v1/mode",
        "setMode",
        "Switch listeners between enforce and monitor, until the next reload or start",
        set_mode,
        writes=True,
        body=ModeBody,
        answer=ModeList,
    ),
    Endpoint("GET", "/v1/log-level", "showLogLevel", "The log level", show_level, answer=LevelView),
    Endpoint(
        "PUT",
        "/v1/log-level",
        "setLogLevel",
        "Set the log level of the gate's processes, until the next reload or start",
        set_level,
        writes=True,
        body=LevelBody,
        answer=LevelView,
    ),
    Endpoint("GET", "/v1/drain", "showDrain", "Where a drain stands", show_drain, answer=DrainView),
    Endpoint(
        "PUT",
        "/v1/drain",
        "setDrain",
        "Take the gate out of rotation, or back in",
        set_drain,
        writes=True,
        body=DrainBody,
        answer=DrainView,
    ),
    Endpoint(
        "POST",
        "/v1/stop",
        "stop",
        "Drain, and end the gate",
        stop,
        writes=True,
        body=WhoBody,
        answer=StopView,
        status=HTTPStatus.ACCEPTED,
    ),
    Endpoint(
        "GET",
        "/v1/reload",
        "showReloads",
        "The reloads so far, and the last one's result",
        show_reloads,
        answer=ReloadView,
    ),
    Endpoint(
        "POST",
        "/v1/reload",
        "reload",
        "Have the settings read again; GET tells when it is done",
        reload,
        writes=True,
        body=WhoBody,
        answer=ReloadView,
        status=HTTPStatus.ACCEPTED,
    ),
)

"""Which settings can change while the gate runs."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gate.settings.listeners import Listener
from gate.settings.model import Settings

_FIXED = ("kind", "address", "transparent", "client_source")
"""What of a listener is fixed while the gate runs."""

M = TypeVar("M", bound=BaseModel)


def needs_restart(info: FieldInfo) -> bool:
    """Is the field fixed while the gate runs?"""
    extra = info.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("restart"))


def merge(running: Settings, wanted: Settings) -> tuple[Settings, list[str]]:
    """The settings that a reload puts in force, and the keys that had to keep their old value."""
    kept: list[str] = []
    merged = _merge(running, wanted, "", kept)
    listeners = _listeners(running.listeners, wanted.listeners, kept)
    return merged.model_copy(update={"listeners": listeners}), kept


def _merge(running: M, wanted: M, prefix: str, kept: list[str]) -> M:
    update: dict[str, Any] = {}
    for name, info in type(wanted).model_fields.items():
        old, new = getattr(running, name), getattr(wanted, name)
        if old == new:
            continue
        if needs_restart(info):
            kept.append(prefix + name)
            update[name] = old
        elif isinstance(new, BaseModel):
            update[name] = _merge(old, new, f"{prefix}{name}.", kept)
    return wanted.model_copy(update=update)


def _listeners(
    running: tuple[Listener, ...], wanted: tuple[Listener, ...], kept: list[str]
) -> tuple[Listener, ...]:
    """Return the running listeners with what changes on a reload as wanted."""
    by_name = {listener.name: listener for listener in wanted}
    merged = []
    for old in running:
        new = by_name.pop(old.name, None)
        if new is None:
            kept.append(f"listeners ({old.name} is gone)")
            merged.append(old)
            continue
        differs = [name for name in _FIXED if getattr(old, name) != getattr(new, name)]
        if differs:
            kept.append(f"listeners ({old.name}: {', '.join(differs)})")
        fixed = {name: getattr(old, name) for name in _FIXED}
        # What is fixed may not go with what changes, such as no destinations any more.
        if old.transparent != "off" and not new.destinations:
            fixed["destinations"] = old.destinations
        if old.transparent != "off":
            fixed["proxy_protocol_from"] = ()
        merged.append(new.model_copy(update=fixed))
    kept.extend(f"listeners ({name} is new)" for name in by_name)
    return tuple(merged)

"""What workers that a reload has replaced are told of the settings that came after theirs.

They keep their open connections, and the settings that those came in by. But what must not stay
open now ends, as after a revocation, and they take no longer than is allowed now:

    {"reload_drain_seconds": 60, "networks": [[["203.0.113.0/25", "enforce"], ...], ...],
     "listeners": {"http": ["enforce", 0], "tls": ["monitor", null], ...}}

A listener has its mode, and the index of its destinations' networks; several share one list.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from gate.ipc.messages import Message
from gate.settings import Settings

_log = logging.getLogger(__name__)

_MOST_NETWORKS: Final = 50_000
"""More would be too long for one message (see gate.ipc.messages)."""


def settings_in_force(settings: Settings) -> Message:
    """Return what replaced workers are told of these settings."""
    networks: list[Sequence[tuple[str, str | None]]] = []
    listeners: dict[str, tuple[str, int | None]] = {}
    for listener in settings.listeners:
        index = None
        if listener.destinations:
            pairs: Sequence[tuple[str, str | None]] = [
                (item.network, item.mode) for item in listener.destinations
            ]
            if pairs not in networks:
                networks.append(pairs)
            index = networks.index(pairs)
        listeners[listener.name] = listener.mode.value, index
    if sum(map(len, networks)) > _MOST_NETWORKS:
        _log.warning(
            "more than %d networks in destinations: workers that a reload has replaced do not hear "
            "of their modes; name larger networks",
            _MOST_NETWORKS,
        )
        networks = []
        listeners = {name: (mode, None) for name, (mode, _) in listeners.items()}
    return {
        "reload_drain_seconds": settings.process.reload_drain_seconds,
        "networks": networks,
        "listeners": listeners,
    }

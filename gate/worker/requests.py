"""What the control process asks of a worker, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from gate import logs
from gate.ipc.messages import Message
from gate.policy import Decider
from gate.proxy.dataplane import DataPlane
from gate.proxy.networks import networks_of
from gate.settings import Mode, Settings
from gate.worker.blocked_counts import BlockedCounts
from gate.worker.filed_seen import FiledSeen
from gate.worker.observer import Observer


class Requests:
    """Does what the control process asks."""

    def __init__(
        self,
        decider: Decider,
        changed: asyncio.Event,
        plane: DataPlane,
        observer: Observer,
        blocked: BlockedCounts,
        *,
        filed_seen: FiledSeen | None = None,
        settings: Settings,
        is_replaced: Callable[[], bool],
        start_again: Callable[[], None],
        give_time: Callable[[float], None],
    ) -> None:
        self._configured = {item.name: item.mode.value for item in settings.listeners}
        self._level = settings.log.level
        self._decider = decider
        self._changed = changed
        self._plane = plane
        self._observer = observer
        self._blocked = blocked
        self._filed_seen = filed_seen
        self._cuts = settings.policy.revoked_connections == "reset"
        self._is_replaced = is_replaced
        self._start_again = start_again
        self._give_time = give_time

    def handle(self, kind: str, request: Message) -> Message:
        """Do the request `kind`; its reply's fields. Raises ValueError for an unknown one."""
        match kind:
            case "welcome" if self._is_replaced():
                self._start_again()
                raise ValueError("its replica was set aside; it starts again on the new one")
            case "welcome":
                self._take_settings(request.get("in_force"))
                # What is not set by hand is as configured, whatever was said on an earlier link.
                self._set_modes(self._configured | request.get("modes", {}))
                self._set_level(request.get("level") or self._level)
                return self._clear()
            case "clear":
                return self._clear()
            case "invalidate":
                dropped = self._decider.invalidate(request["domains"])
                self._changed.set()
                revoked, revision = request["revoked"], request.get("revision", 0)
                cut = self._plane.cut(revoked, revision=revision) if self._cuts else 0
                return {"dropped": dropped, "cut": cut}
            case "stats":
                return {"stats": self._stats()}
            case "unfiled":
                self._observer.fold()
                # A control process of an older program does not say what it has kept.
                confirmed: int = request["confirmed"]
                answer = self._blocked.take(confirmed, request.get("kept", confirmed))
                if self._filed_seen is None or "traffic" not in request:
                    return answer
                # A copy: what was given is kept to be given again.
                return answer | {"traffic": self._filed_seen.take(**request["traffic"])}
            case "routes":
                asked = (request[key] for key in ("path", "base", "stamp", "changes"))
                return {"done": self._plane.change_routes(*asked)}
            case "modes" if "in_force" in request:
                self._take_settings(request["in_force"])
                self._set_modes(self._configured | request["modes"])
                return {}
            case "modes":
                self._set_modes(request["modes"])
                return {}
            case "level":
                self._set_level(request["level"])
                return {}
            case _:
                raise ValueError(f"unknown request {kind!r}")

    def last_words(self) -> Message:
        """Return what would be lost when the process ends.

        Figures and names since the last question.
        """
        words: Message = {"stats": self._stats(), "unfiled": self._blocked.rest()}
        if self._filed_seen is not None:
            words["traffic"] = self._filed_seen.rest()
        return words

    def _clear(self) -> Message:
        self._decider.clear()
        self._changed.set()
        return {"cut": self._plane.recheck() if self._cuts else 0}

    def _take_settings(self, told: Message | None) -> None:
        """Take up what a replaced worker is to know of the settings that are in force by now.

        See gate.control.in_force. To any other worker they are its own.
        """
        if told is None:
            return
        self._give_time(told["reload_drain_seconds"])
        networks = [networks_of(pairs) for pairs in told["networks"]]
        for listener, (mode, index) in told["listeners"].items():
            self._configured[listener] = mode
            if index is not None:
                self._plane.set_networks(listener, networks[index])

    def _set_modes(self, modes: Mapping[str, str]) -> None:
        for listener, mode in modes.items():
            self._plane.set_mode(listener, Mode(mode))

    def _set_level(self, level: str) -> None:
        logs.set_level(level)
        self._observer.refill()

    def _stats(self) -> Message:
        lines = self._observer.lines()
        return self._plane.stats() | {"cache": self._cache(), "access_lines": lines}

    def _cache(self) -> Message:
        stats = self._decider.stats
        return {
            # A hit leaves no trace, so that it costs nothing: what was decided and not missed.
            "hits": max(self._plane.named_decisions() - stats.misses, 0),
            "misses": stats.misses,
            "evictions": stats.evictions,
            "size": stats.size,
            "lookup_seconds": stats.lookup_seconds.figures(),
        }

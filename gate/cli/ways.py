"""By which listeners a connection may come in, and what becomes of it there: for `gate check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from gate.cli.failure import fail
from gate.policy import Reason
from gate.proxy.networks import IP, Networks, NotIntercepted
from gate.settings import Listener, Settings, special

PASSES: Final = "passes"


@dataclass(slots=True, frozen=True)
class WayIn:
    """What one listener does with a connection.

    `mode` is None where the destination is none of its own; `header` says that the client begins
    with a PROXY header there.
    """

    name: str
    mode: str | None
    header: bool


def ip_of(text: str | None, option: str) -> IP | None:
    """Return the address that an option gives. Raises CommandFailed for what is none."""
    if text is None:
        return None
    try:
        return ip_address(text)
    except ValueError:
        fail(f"{option}: {text!r} is no IP address; write 203.0.113.9 or 2001:db8::9")


def ways_in(
    settings: Settings, scheme: str, source: IP | None, destination: IP | None
) -> list[WayIn]:
    """Return the listeners for a scheme; of a destination, those that stand in front of hosts."""
    ways = []
    for listener in settings.listeners:
        mode: str | None = listener.mode.value
        if listener.kind != scheme:
            continue
        if destination is not None:
            own_family = (":" in listener.address.host) is (destination.version == 6)
            if not listener.destinations or (listener.transparent != "off" and not own_family):
                continue
            mode = _mode_for(listener, destination)
        header = source is not None and any(
            source in ip_network(network) for network in listener.proxy_protocol_from
        )
        ways.append(WayIn(listener.name, mode, header))
    return ways


def _mode_for(listener: Listener, destination: IP) -> str | None:
    if special(ip_network(destination)):
        return None
    try:
        return Networks(listener.destinations).mode_of(destination) or listener.mode.value
    except NotIntercepted:
        return None


def outcome_of(
    allowed: bool, reason: str, scheme: str, settings: Settings, ways: Sequence[WayIn]
) -> str:
    """Return what becomes of the connection: passes, or how it is blocked."""
    if ways and all(way.mode is None for way in ways):
        return Reason.NOT_INTERCEPTED
    if allowed or (ways and all(way.mode in ("monitor", "pass") for way in ways)):
        return PASSES
    match scheme:
        case "http":
            return "refused" if reason == Reason.MALFORMED else "redirected"
        case "tls":
            return "reset"
        case _:
            return "closed" if settings.policy.quic_refusal == "close" else "dropped"


def lines_of(outcome: str, scheme: str, ways: Sequence[WayIn]) -> Iterator[str]:
    """Yield what is said of it, for people."""
    yield f"  {scheme:<7}  {outcome}"
    for way in ways:
        header = ", begins with a PROXY header" if way.header else ""
        yield f"  by       {way.name}: {way.mode or 'none of its destinations'}{header}"

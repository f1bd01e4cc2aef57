"""The log line on one decision: its fields, and how they are written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

from gate.policy import Verdict

LOGGER: Final = "gate.access"

FIELDS: Final = {
    "time": "when it was decided, UTC, to the millisecond",
    "level": "`info`",
    "logger": f"`{LOGGER}`",
    "process": "process id of the worker",
    "worker": "number of the worker",
    "event": "`decision`, or `suppressed` for the line that counts what was over the limit",
    "connection": "name of the client's connection, the same in all its lines and unlike any other",
    "listener": "name of the listener",
    "scheme": "`http`, `tls` or `quic`: what the client spoke",
    "client": "the client's IP address (from a trusted PROXY header, if one came), as "
    "`log.access.client` wants it: whole, cut to its network, or left out",
    "destination": "the address and port that the connection was addressed to, where a transparent "
    "listener or a PROXY header tells it",
    "verdict": "`pass`, `block`, or `monitor` (let through, and blocked if the listener enforced)",
    "reason": "the reason, as in metrics and on the notice page",
    "fault": "on a `malformed` hello: what was wrong with it, as in "
    "`gate_first_bytes_malformed_total`",
    "name": "the canonical name that was asked for, or the IP address; empty if there was none",
    "domain": "the domain of the filing or override that decided; empty if there was none",
    "sample": "on a `pass`: the share of those that get a line (`log.access.sample`)",
    "count": "on `suppressed`: the decisions of the last second that would have had a line",
}
"""Every field of a line, with its meaning; `gate/docs/logs.md` is written from here."""


@dataclass(slots=True, frozen=True)
class Decision:
    """One decision. `client` is "" where it is left out, `sample` None where it was blocked.

    `destination` is "" where it is the listener itself.
    """

    time: float
    connection: str
    listener: str
    scheme: str
    client: str
    verdict: Verdict
    passed: bool
    sample: float | None
    destination: str = ""

    @property
    def outcome(self) -> str:
        """`pass`, `block` or `monitor`."""
        if self.verdict.allowed:
            return "pass"
        return "monitor" if self.passed else "block"


class JsonLines:
    """Lines for machines: one JSON object each."""

    def __init__(self, process: int, worker: int) -> None:
        self._who = {"level": "info", "logger": LOGGER, "process": process, "worker": worker}

    def decision(self, decision: Decision) -> bytes:
        """Return the line on a decision."""
        verdict = decision.verdict
        fields: dict[str, Any] = {
            "event": "decision",
            "connection": decision.connection,
            "listener": decision.listener,
            "scheme": decision.scheme,
        }
        if decision.client:
            fields["client"] = decision.client
        if decision.destination:
            fields["destination"] = decision.destination
        fields |= {
            "verdict": decision.outcome,
            "reason": verdict.reason.value,
        }
        if verdict.fault:
            fields["fault"] = verdict.fault
        fields |= {"name": verdict.name, "domain": verdict.domain}
        if decision.sample is not None:
            fields["sample"] = decision.sample
        return self._line(decision.time, fields)

    def suppressed(self, now: float, count: int) -> bytes:
        """Return the line that says how many lines there are not."""
        return self._line(now, {"event": "suppressed", "count": count})

    def _line(self, when: float, fields: dict[str, Any]) -> bytes:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when))
        entry = {"time": f"{stamp}.{int(when % 1 * 1000):03d}Z"} | self._who | fields
        return json.dumps(entry).encode() + b"\n"


class ConsoleLines:
    """Lines for people."""

    def decision(self, decision: Decision) -> bytes:
        """Return the line on a decision."""
        verdict = decision.verdict
        parts = [decision.outcome, verdict.reason.value, verdict.name or "-"]
        if verdict.fault:
            parts.insert(2, f"({verdict.fault})")
        if decision.client:
            parts += ["from", decision.client]
        if decision.destination:
            parts += ["to", decision.destination]
        parts += ["on", decision.listener, decision.scheme, f"[{decision.connection}]"]
        return self._line(decision.time, " ".join(parts))

    def suppressed(self, now: float, count: int) -> bytes:
        """Return the line that says how many lines there are not."""
        return self._line(now, f"{count} more decisions in the last second")

    def _line(self, when: float, text: str) -> bytes:
        clock = time.strftime("%H:%M:%S", time.localtime(when))
        return f"{clock} {'info':<7} {LOGGER}: {text}\n".encode()


def _whole(address: str) -> str:
    return address


def _network(address: str) -> str:
    """Return the network of an address: /24 of IPv4, /48 of IPv6."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def _nothing(address: str) -> str:
    return ""


CLIENT: Final[dict[str, Callable[[str], str]]] = {
    "full": _whole,
    "network": _network,
    "none": _nothing,
}
"""What is shown of a client's address, by the setting `log.access.client`."""

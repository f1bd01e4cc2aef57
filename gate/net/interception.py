"""The kernel's rules that hand connections to the hosts over to transparent listeners.

    a packet to a host, on a listener's port     tproxy or redirect: to the gate
    the same, and nobody listens                 dropped, and counted as leaked: nft's `tproxy` lets
                                                 it through where there is no socket
    the same, to be forwarded all the same       dropped, and counted as leaked
    UDP to the port of a tls listener without    dropped: QUIC that nobody judges would be a way
    a quic listener beside it                    past; browsers fall back to TLS

A port is the listener's own: where TPROXY finds the socket that a connection is for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from gate.settings import Listener

TABLE: Final = "gate_intercept"
LEAKED: Final = "leaked"
_FAMILIES: Final = ((4, "ip", "ipv4_addr", "0.0.0.0/0"), (6, "ip6", "ipv6_addr", "::/0"))
_WIDTH: Final = 88


@dataclass(slots=True, frozen=True)
class Interception:
    """What the rules are made of: listeners that are transparent, and the words of the system.

    `host_side` are the interfaces that the hosts are behind, whose own traffic is left alone.
    """

    listeners: tuple[Listener, ...]
    host_side: tuple[str, ...] = ()
    mark: int = 1
    table: int = 100

    @property
    def needs_routing(self) -> bool:
        """Whether packets to others are to be delivered to this machine."""
        return any(listener.transparent == "tproxy" for listener in self.listeners)

    def script(self) -> str:
        """Return the shell script that puts all of it in force, in place of what it did before."""
        lines = [
            "#!/bin/sh",
            "# Hands connections to the hosts over to the gate. Written by `gate intercept`; to be",
            "# run as root, at each start of the machine, before the gate.",
            "set -eu",
        ]
        if self.needs_routing:
            lines += ["", "# What is marked is delivered to this machine, whoever it is for."]
            for version, _, _, everything in _FAMILIES:
                ip = f"ip -{version}"
                rule = f"fwmark {self.mark:#x} lookup {self.table}"
                lines += [
                    f"{ip} rule del {rule} 2>/dev/null || true",
                    f"{ip} rule add {rule}",
                    f"{ip} route replace local {everything} dev lo table {self.table}",
                ]
        lines += ["", "nft -f - <<'RULES'", self.rules().rstrip(), "RULES", ""]
        return "\n".join(lines)

    def rules(self) -> str:
        """Return the nftables rules, which take the place of those before at once."""
        body = "\n\n".join(
            part
            for part in (*self._sets(), self._prerouting(), self._nat(), self._forward())
            if part
        )
        return (
            f"table inet {TABLE}\n"
            f"delete table inet {TABLE}\n"
            f"table inet {TABLE} {{\n"
            f"  counter {LEAKED} {{}}\n\n"
            f"{textwrap.indent(body, '  ')}\n"
            "}\n"
        )

    def _sets(self) -> Iterator[str]:
        for number, listener in enumerate(self.listeners):
            for version, _, kind, _ in _FAMILIES:
                networks = _networks(listener, version)
                if networks:
                    elements = textwrap.fill(
                        ", ".join(networks), _WIDTH, initial_indent="    ", subsequent_indent="    "
                    )
                    yield (
                        f"set hosts{version}_{number} {{  # listener {listener.name}\n"
                        f"  type {kind}; flags interval; auto-merge\n"
                        f"  elements = {{\n{elements}\n  }}\n"
                        "}"
                    )

    def _prerouting(self) -> str:
        if not self.needs_routing:
            return ""
        rules = ["type filter hook prerouting priority mangle; policy accept;"]
        if any(listener.client_source != "off" for listener in self.listeners):
            rules.append(f"socket transparent 1 meta mark set {self.mark:#x} accept")
        rules += self._host_side()
        for matched, listener in self._matches():
            if listener.transparent == "tproxy":
                family, match, port = matched
                rules += [
                    f"{match} tproxy {family} to :{port} meta mark set {self.mark:#x} accept",
                    f"{match} counter name {LEAKED} drop",
                ]
        return _chain("prerouting", rules)

    def _nat(self) -> str:
        rules = [
            f"{match} redirect to :{port}"
            for (_, match, port), listener in self._matches()
            if listener.transparent == "redirect"
        ]
        if not rules:
            return ""
        hook = "type nat hook prerouting priority dstnat; policy accept;"
        return _chain("redirecting", [hook, *self._host_side(), *rules])

    def _forward(self) -> str:
        rules = ["type filter hook forward priority filter; policy accept;", *self._host_side()]
        rules += [f"{match} counter name {LEAKED} drop" for (_, match, _), _ in self._matches()]
        judged = {
            (version, one.address.port)
            for one in self.listeners
            for version in (4, 6)
            if one.kind == "quic" and _networks(one, version)
        }
        for number, listener in enumerate(self.listeners):
            if listener.kind == "tls":
                for version, family, _, _ in _FAMILIES:
                    unjudged = (version, listener.address.port) not in judged
                    if unjudged and _networks(listener, version):
                        hosts = f"{family} daddr @hosts{version}_{number}"
                        rules.append(f"{hosts} udp dport {listener.address.port} drop")
        return _chain("forwarding", rules)

    def _host_side(self) -> list[str]:
        names = ", ".join(f'"{name}"' for name in self.host_side)
        return [f"iifname {{ {names} }} return"] if names else []

    def _matches(self) -> Iterator[tuple[tuple[str, str, int], Listener]]:
        """Yield the family, the match and the port of each rule, with its listener."""
        for number, listener in enumerate(self.listeners):
            transport = "udp" if listener.kind == "quic" else "tcp"
            port = listener.address.port
            for version, family, _, _ in _FAMILIES:
                if _networks(listener, version):
                    hosts = f"{family} daddr @hosts{version}_{number}"
                    yield (family, f"{hosts} {transport} dport {port}", port), listener


def _networks(listener: Listener, version: int) -> list[str]:
    """Return the destinations of one family, where the listener has such an address."""
    if (":" in listener.address.host) is not (version == 6):
        return []
    networks = (ip_network(item.network) for item in listener.destinations)
    return [str(network) for network in networks if network.version == version]


def _chain(name: str, rules: list[str]) -> str:
    return f"chain {name} {{\n" + "".join(f"  {rule}\n" for rule in rules) + "}"

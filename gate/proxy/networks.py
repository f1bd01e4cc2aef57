"""The networks of hosts that a listener stands in front of, and what is done for each."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, Final

from gate.proxy.failure import ProxyError
from gate.settings import Destination

ENFORCE: Final = "enforce"
PASS: Final = "pass"  # noqa: S105 - no password

IP = IPv4Address | IPv6Address
_BITS: Final = {4: 32, 6: 128}
_MISSING: Final = "missing"


class NotIntercepted(ProxyError):
    """A connection is addressed to nobody that the gate stands in front of."""


class Networks:
    """The mode of an address, by the most specific network that holds it."""

    __slots__ = ("_by_length",)

    def __init__(self, destinations: Iterable[Destination]) -> None:
        by_length: dict[tuple[int, int], dict[int, str | None]] = {}
        for item in destinations:
            network = ip_network(item.network)
            shift = network.max_prefixlen - network.prefixlen
            first = int(network.network_address) >> shift
            by_length.setdefault((network.version, network.prefixlen), {})[first] = item.mode
        self._by_length = [
            (version, _BITS[version] - length, modes)
            for (version, length), modes in sorted(by_length.items(), reverse=True)
        ]

    def has_same_as(self, other: Networks) -> bool:
        """Return whether every address has the same mode in both."""
        return self._by_length == other._by_length

    def mode_of(self, ip: IP) -> str | None:
        """Return the mode of the network that holds an address; None for the listener's.

        Raises NotIntercepted if there is no such network.
        """
        value = int(ip)
        for version, shift, modes in self._by_length:
            if version == ip.version:
                mode = modes.get(value >> shift, _MISSING)
                if mode is not _MISSING:
                    return mode
        raise NotIntercepted(f"{ip} is in none of the listener's destinations")


def networks_of(pairs: Iterable[tuple[str, Any]]) -> Networks:
    """Return networks from their texts and modes, which were checked before."""
    return Networks(
        Destination.model_construct(network=network, mode=mode) for network, mode in pairs
    )

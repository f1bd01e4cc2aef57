"""The data plane's ports: what is expected on each, and for which hosts a transparent one stands.

A transparent listener takes connections that are addressed to the hosts behind the gate, and sends
what passes on to that same address. `destinations` bounds for whom it may do so.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gate.settings.base import AddressText, Section, restart


class Mode(StrEnum):
    """What a verdict does: `enforce` blocks, `monitor` judges and reports only."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


def _network(value: object) -> object:
    try:
        ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write a network such as 10.0.0.0/8 or 2001:db8::/32") from None
    return str(value)


Network = Annotated[str, BeforeValidator(_network)]

_SPECIAL = ("loopback", "link_local", "multicast", "unspecified")


class Destination(Section):
    """A network of hosts that a transparent listener stands in front of."""

    network: Network = Field(
        description="Network of hosts; the most specific one that holds an address counts."
    )
    mode: Literal["enforce", "monitor", "pass"] | None = Field(
        None,
        description="enforce, monitor, or pass (judged and never blocked); null: the listener's.",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_text(cls, value: Any) -> Any:
        return {"network": value} if isinstance(value, str) else value

    @field_validator("network")
    @classmethod
    def _is_for_hosts(cls, value: str) -> str:
        why = special(ip_network(value))
        if why:
            raise ValueError(f"{value} is {why}, where no host is; name the networks of your hosts")
        return value


def special(network: IPv4Network | IPv6Network) -> str:
    """Return why no host behind a gate can have an address of this network; "" if one can."""
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        return "IPv4-mapped"
    return next((kind.replace("_", "-") for kind in _SPECIAL if getattr(network, f"is_{kind}")), "")


class Listener(Section):
    """One data-plane listener."""

    name: str = Field(
        pattern=r"^[a-z0-9_-]{1,32}$",
        description="Name in metrics, logs and commands: 1 to 32 of a-z, 0-9, _ and -.",
    )
    kind: Literal["http", "tls", "quic"] = Field(
        description="What is expected on the port. TLS on an http port, and plain HTTP on a tls "
        "port, are recognised and judged all the same. quic (HTTP/3) is a UDP port.",
    )
    address: AddressText = Field(
        description="HOST:PORT to listen on; 0.0.0.0 is every IPv4 address, [::] every IPv6 one."
    )
    mode: Mode = Field(
        Mode.ENFORCE,
        description="enforce: block what is not filed. monitor: judge, count and report only.",
    )
    proxy_protocol_from: tuple[Network, ...] = Field(
        (),
        description="Networks whose connections begin with a PROXY protocol header (v1 or v2), "
        "such as a load balancer's. From anywhere else such a header is malformed. Not for quic.",
    )
    transparent: Literal["off", "tproxy", "redirect"] = Field(
        "off",
        description="Take connections that are addressed to the hosts behind the gate, and send "
        "what passes on to that same address, whatever upstreams says: tproxy, or redirect (TCP "
        "only), as the rules of the kernel hand them over (`gate intercept` prints those).",
        json_schema_extra=restart,
    )
    destinations: tuple[Destination, ...] = Field(
        (),
        description="Networks of the hosts that connections may be sent on to by their "
        "destination; all else is reset, and counted as not_intercepted. A network, or one with a "
        "mode of its own: {network: 203.0.113.0/24, mode: pass}, as for hosts abroad, which need "
        "no filing. Required where transparent is not off.",
    )
    client_source: Literal["off", "address", "address_port"] = Field(
        "off",
        description="Which address the hosts see: off, the gate's; address, the client's, with "
        "another port; address_port, both the client's. Needs tproxy, and the way back of the "
        "hosts through the gate.",
        json_schema_extra=restart,
    )

    @model_validator(mode="after")
    def _quic_has_no_header(self) -> Self:
        if self.kind == "quic" and self.proxy_protocol_from:
            raise ValueError(
                f"listener {self.name!r}: proxy_protocol_from is for http and tls; a quic listener "
                "takes no PROXY header, so remove it"
            )
        return self

    @model_validator(mode="after")
    def _is_transparent_as_a_whole(self) -> Self:
        wrong = self._what_is_wrong()
        if wrong:
            raise ValueError(f"listener {self.name!r}: {wrong}")
        networks = [ip_network(item.network) for item in self.destinations]
        twice = next((item for item in networks if networks.count(item) > 1), None)
        if twice is not None:
            raise ValueError(f"listener {self.name!r}: destinations has {twice} twice; keep one")
        return self

    def _what_is_wrong(self) -> str:
        if self.transparent == "off":
            if self.client_source != "off":
                return "client_source is for transparent: tproxy; set it to off"
            if self.destinations and not self.proxy_protocol_from:
                return (
                    "destinations is for a transparent listener, or for one with "
                    "proxy_protocol_from; set transparent, or remove it"
                )
            return ""
        if not self.destinations:
            return (
                f"transparent: {self.transparent} needs destinations, the networks of the hosts "
                "behind the gate; add them"
            )
        if self.proxy_protocol_from:
            return (
                "a transparent listener knows the destination by itself and takes no PROXY header; "
                "remove proxy_protocol_from, or set transparent to off"
            )
        if self.transparent == "redirect" and self.kind == "quic":
            return "redirect is for TCP; a quic listener takes transparent: tproxy"
        if self.transparent == "redirect" and self.client_source != "off":
            return "client_source needs transparent: tproxy; set it to off"
        return ""

"""The table of hosts: who is none, who makes room, and which network's mode counts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address

import pytest

from gate.net.local_addresses import LocalAddresses
from gate.proxy.hosts import Hosts, NoRoom
from gate.proxy.networks import Networks, NotIntercepted
from gate.settings import Destination

EVERYWHERE = Networks([Destination(network="0.0.0.0/0"), Destination(network="::/0")])


@pytest.fixture
def local() -> Iterator[LocalAddresses]:
    with closing(LocalAddresses()) as local:
        yield local


@pytest.mark.parametrize(
    ("address", "mode"),
    [
        ("10.0.0.1", None),
        ("10.1.0.1", "monitor"),
        ("10.1.2.3", "pass"),
        ("10.1.2.4", "monitor"),
        ("10.2.0.1", None),
        ("2001:db8::1", "enforce"),
        ("2001:db8:1::1", "pass"),
    ],
)
def test_the_most_specific_network_counts(address: str, mode: str | None) -> None:
    networks = Networks(
        Destination.model_validate(item)
        for item in (
            "10.0.0.0/8",
            {"network": "10.1.0.0/16", "mode": "monitor"},
            {"network": "10.1.2.3", "mode": "pass"},
            {"network": "2001:db8::/32", "mode": "enforce"},
            {"network": "2001:db8:1::/48", "mode": "pass"},
        )
    )
    assert networks.mode_of(ip_address(address)) == mode


@pytest.mark.parametrize("address", ["11.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "9.255.255.255"])
def test_what_is_in_no_network_is_not_intercepted(address: str) -> None:
    with pytest.raises(NotIntercepted):
        Networks([Destination(network="10.0.0.0/8")]).mode_of(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "::1",  # loopback
        "169.254.1.1", "fe80::1",  # link-local
        "224.0.0.1", "239.1.2.3", "ff02::1",  # multicast
        "0.0.0.0", "::",  # unspecified
        "::ffff:10.0.0.1", "::ffff:127.0.0.1",  # IPv4-mapped
        "255.255.255.255",  # broadcast
    ],
)  # fmt: skip
def test_no_host_has_such_an_address_whatever_the_networks_are(
    local: LocalAddresses, address: str
) -> None:
    hosts = Hosts(8, local)
    with pytest.raises(NotIntercepted):
        hosts.enter("a", EVERYWHERE, (address, 80))
    assert len(hosts) == 0


def test_an_address_of_this_machine_is_no_hosts(local: LocalAddresses) -> None:
    """Any that the machine has: they are asked of the kernel, not of a list."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine lacks a way out, and so an address besides the loopback's")
        mine = probe.getsockname()[0]
    with pytest.raises(NotIntercepted):
        Hosts(8, local).enter("a", EVERYWHERE, (mine, 80))


def test_a_host_that_is_known_is_asked_about_again_when_addresses_have_changed(
    local: LocalAddresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(8, local)
    hosts.leave(hosts.enter("a", EVERYWHERE, ("198.51.100.1", 80)))
    monkeypatch.setattr(local, "has", lambda ip: True)  # it has come to this machine
    hosts.leave(hosts.enter("a", EVERYWHERE, ("198.51.100.1", 80)))  # which nobody has told yet
    local.on_ready(0)
    with pytest.raises(NotIntercepted):
        hosts.enter("a", EVERYWHERE, ("198.51.100.1", 80))


def test_where_the_kernel_says_nothing_nobody_is_a_host(
    local: LocalAddresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(ip: object) -> bool:
        raise TimeoutError("timed out")

    monkeypatch.setattr(local, "has", silent)
    with pytest.raises(NotIntercepted):
        Hosts(8, local).enter("a", EVERYWHERE, ("198.51.100.1", 80))


def test_the_host_that_was_unused_longest_makes_room(local: LocalAddresses) -> None:
    """envoy#22218: destinations that nobody forgets."""
    gone: list[object] = []
    hosts = Hosts(3, local, gone.append)
    first, second, third = (
        hosts.enter("a", EVERYWHERE, (f"198.51.100.{number}", 80)) for number in (1, 2, 3)
    )
    hosts.leave(second)
    hosts.leave(first)
    assert hosts.enter("a", EVERYWHERE, ("198.51.100.2", 80)) is second  # in use again
    hosts.enter("a", EVERYWHERE, ("198.51.100.4", 80))
    assert (gone, len(hosts)) == ([first.endpoints[0]], 3)
    with pytest.raises(NoRoom, match=r"limits\.destinations"):
        hosts.enter("a", EVERYWHERE, ("198.51.100.5", 80))
    hosts.leave(third)
    hosts.enter("a", EVERYWHERE, ("198.51.100.5", 80))
    assert gone == [first.endpoints[0], third.endpoints[0]]


def test_a_host_is_another_one_for_each_listener_and_each_client_that_it_is_to_see(
    local: LocalAddresses,
) -> None:
    hosts = Hosts(8, local)
    at = ("198.51.100.1", 80)
    found = [
        hosts.enter("a", EVERYWHERE, at),
        hosts.enter("b", EVERYWHERE, at),
        hosts.enter("a", EVERYWHERE, ("198.51.100.1", 81)),
        hosts.enter("a", EVERYWHERE, at, source=("203.0.113.1", 0)),
        hosts.enter("a", EVERYWHERE, at, source=("203.0.113.2", 0)),
        hosts.enter("a", EVERYWHERE, at, source=("203.0.113.2", 5000)),
    ]
    assert len({id(host) for host in found}) == len(found)
    assert [host.alone for host in found] == [False] * 5 + [True]
    assert hosts.enter("a", EVERYWHERE, at) is found[0]


def test_a_host_never_rests(local: LocalAddresses) -> None:
    host = Hosts(8, local).enter("a", EVERYWHERE, ("198.51.100.1", 80))
    host.endpoints[0].failed(10.0, 5.0)
    assert host.endpoints[0].resting_until == 0.0

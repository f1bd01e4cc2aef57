"""Whose hosts are where: the provider's networks, and the account of an address."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from sqlalchemy import Connection, delete, insert, select

from gate.registry.errors import RegistryError, Said
from gate.registry.fields import clean_identifier
from gate.registry.gate_schema import account_networks
from gate.registry.sightings.views import NetworkOwner


def put_networks(connection: Connection, owners: Iterable[NetworkOwner], *, now: int) -> None:
    """Keep whose networks are; the last word on a network counts. Raises `field_invalid`."""
    found = {}
    for place, owner in enumerate(owners):
        field = f"networks.{place}"
        network = str(_network(owner.network, field))
        account = owner.account
        if account is not None:
            account = clean_identifier(account, field=f"{field}.account")
        found[network] = account
    connection.execute(delete(account_networks).where(account_networks.c.network.in_(list(found))))
    rows = [
        {"network": network, "account": account, "changed_at": now}
        for network, account in found.items()
        if account is not None
    ]
    if rows:
        connection.execute(insert(account_networks), rows)


def find_networks(connection: Connection, *, after: str, limit: int) -> list[NetworkOwner]:
    """Return whose networks are, in order of their text, beyond `after`."""
    table = account_networks
    rows = connection.execute(
        select(table).where(table.c.network > after).order_by(table.c.network).limit(limit)
    )
    return [NetworkOwner(network=row.network, account=row.account) for row in rows]


def accounts_of(connection: Connection, addresses: Iterable[str]) -> dict[str, str]:
    """Return the account of each address that is in a known network; the smallest network counts.

    An address may have a port (`ADDRESS:PORT`, `[ADDRESS]:PORT`).
    """
    around = {text: [str(one) for one in _around(text)] for text in set(addresses)}
    wanted = {network for networks in around.values() for network in networks}
    table = account_networks
    known: dict[str, str] = {}
    for some in _parts(sorted(wanted), 500):
        rows = connection.execute(select(table).where(table.c.network.in_(some)))
        known |= {row.network: row.account for row in rows}
    found = {}
    for text, networks in around.items():
        account = next((known[one] for one in networks if one in known), None)
        if account is not None:
            found[text] = account
    return found


def _parts(items: list[str], size: int) -> Iterable[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _network(text: str, field: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip())
    except ValueError as error:
        detail = Said("不是网段，应如 203.0.113.0/28", f"no network: {error}")
        raise RegistryError("field_invalid", field=f"{field}.network", detail=detail) from error


def _around(text: str) -> Iterable[IPv4Network | IPv6Network]:
    """Yield the networks that an address is in, the smallest first; none for what is no address."""
    host = text
    if text.count(":") == 1 or text.startswith("["):
        host = text.rpartition(":")[0].strip("[]") if "]:" in text or "[" not in text else text
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return
    mapped = getattr(address, "ipv4_mapped", None)
    whole = ip_network(mapped or address)
    for prefix in range(whole.prefixlen, -1, -1):
        yield whole.supernet(new_prefix=prefix)

"""The hosts that are asked for: the same for every contender, from real names, by fixed seeds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.side_by_side.dataset import SEED, allowlist, filed_hosts, real_names, skewed
from benchmarks.side_by_side.dataset import unfiled_hosts as look_alikes
from gate.filings import Filing, Status

WARM = 100_000
"""Different hosts in the skewed mix, and the size of every cache."""
_PROVINCES = "京沪粤苏浙鲁川豫"


def listed_names(size: int) -> list[str]:
    """`size` domains in order: the real ones, and numbered variants of them beyond."""
    return sorted(allowlist(size, real_names()))


def filings(names: Sequence[str]) -> Iterator[Filing]:
    """Filings for names, each with a licence number of the usual kind."""
    for number, name in enumerate(names):
        province = _PROVINCES[number % len(_PROVINCES)]
        yield Filing(
            name, Status.FILED, f"{province}ICP备{2_021_000_000 + number // 2}号-{number % 2 + 1}"
        )


@dataclass(slots=True, frozen=True)
class Hosts:
    """What is asked, as the bytes of a Host field."""

    known: list[bytes]
    """`WARM` different hosts, filed ones and one in twenty unfiled: what the cache holds."""
    skewed: list[bytes]
    """Draws from `known` with Zipf's skew."""
    filed: list[bytes]
    """Different hosts below filed domains, none of them in `known`."""
    unfiled: list[bytes]
    """Different hosts that no filing covers, none of them in `known`."""
    domains: list[bytes]
    """Filed domains in no order: what an exact look-up is asked for."""


def make_hosts(names: Sequence[str], count: int) -> Hosts:
    """Hosts over a list of names, `count` of each kind."""
    rng = random.Random(SEED + 7)
    unfiled = look_alikes(count + WARM // 20, rng.sample(names, min(len(names), 200_000)))
    filed = dict.fromkeys(filed_hosts(2 * (WARM + count), names))
    distinct = list(filed)
    known = distinct[: WARM - WARM // 20] + unfiled[: WARM // 20]
    rng.shuffle(known)
    return Hosts(
        known=_bytes(known),
        skewed=_bytes(skewed(known, count)),
        filed=_bytes(distinct[WARM : WARM + count]),
        unfiled=_bytes(unfiled[WARM // 20 :]),
        domains=_bytes(rng.choices(names, k=count)),
    )


def _bytes(names: Sequence[str]) -> list[bytes]:
    return [name.encode() for name in names]


def off_the_wire(hosts: Sequence[bytes]) -> list[bytes]:
    """The same bytes in new objects, as a parser makes them: no hash is known yet."""
    return [bytes(bytearray(host)) for host in hosts]

"""Names for the lists and for the traffic, the same for every server.

The lists are made of the real domain names in `tests/data` or `shared/data`; a list longer than
the real one is filled with numbered variants of real names. Names with two to four labels are
taken (99.9 % of the real list), so that a peer that tries each depth needs three tries at most.
Public suffixes in the real list are left out: the gate files none.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from gate.names import InvalidName, check_fileable

SEED = 20_240_601
MIN_LABELS, MAX_LABELS = 2, 4
PREFIXES = ("", "", "www.", "www.", "www.", "m.", "img1.", "api.", "static.cdn.")
_SUFFIXES = (".com", ".com", ".com", ".cn", ".net", ".com.cn", ".org.cn", ".top")


class DatasetMissing(RuntimeError):
    """The file of real names was not found."""


def real_names(path: Path | None = None) -> list[str]:
    """The real domain names with two to four labels that may be filed, in the file's order.

    Raises DatasetMissing when no file of names is found.
    """
    root = Path(__file__).resolve().parents[2]
    candidates = [
        path,
        Path(os.environ["GATE_BENCH_NAMES"]) if "GATE_BENCH_NAMES" in os.environ else None,
        root / "tests" / "data" / "filed-domains.txt",
        root.parent / "shared" / "data" / "filed-domains.txt",
    ]
    for candidate in candidates:
        if candidate is not None and candidate.is_file():
            lines = candidate.read_text(encoding="ascii").split()
            return [name for name in lines if _usable(name)]
    raise DatasetMissing(
        "no list of real names: set GATE_BENCH_NAMES to a file with one domain name a line"
    )


def _usable(name: str) -> bool:
    if not MIN_LABELS <= name.count(".") + 1 <= MAX_LABELS:
        return False
    try:
        check_fileable(name)
    except InvalidName:
        return False
    return True


def allowlist(size: int, names: Sequence[str]) -> list[str]:
    """`size` distinct names: a fixed sample of the real ones, then numbered variants of them."""
    rng = random.Random(SEED)
    shuffled = list(names)
    rng.shuffle(shuffled)
    chosen = shuffled[:size]
    if len(chosen) < size:
        taken = set(chosen)
        chosen.extend(itertools.islice(_variants(shuffled, taken), size - len(chosen)))
    return chosen


def _variants(names: Sequence[str], taken: set[str]) -> Iterator[str]:
    for number in itertools.count(1):
        for name in names:
            first, dot, rest = name.partition(".")
            variant = f"{first}-{number}{dot}{rest}"  # one variant is never another's
            # a number would spoil the Punycode of an A-label
            if len(first) < 55 and not first.startswith("xn--") and variant not in taken:
                yield variant


def filed_hosts(count: int, listed: Sequence[str]) -> list[str]:
    """Host names as visitors ask for them: listed names and names below them."""
    rng = random.Random(SEED + 1)
    return [rng.choice(PREFIXES) + rng.choice(listed) for _ in range(count)]


def unfiled_hosts(count: int, listed: Sequence[str]) -> list[str]:
    """Distinct look-alike host names that no listed name covers, label by label."""
    rng = random.Random(SEED + 2)
    covered = set(listed)
    seen: dict[str, None] = {}
    while len(seen) < count:
        label = rng.choice(listed).partition(".")[0]
        if label.startswith("xn--"):
            continue  # a changed A-label is malformed, not unfiled
        shape = rng.choice(("not{}", "{}-shop", "{}" + str(rng.randrange(100, 99999)), "{}game"))
        host = rng.choice(PREFIXES) + shape.format(label[:40]) + rng.choice(_SUFFIXES)
        if not any(parent in covered for parent in _parents(host)):
            seen[host] = None
    return list(seen)


def _parents(host: str) -> Iterator[str]:
    while host:
        yield host
        host = host.partition(".")[2]


def skewed(items: Sequence[str], count: int, seed: int = SEED) -> list[str]:
    """`count` draws from `items` with Zipf's skew (exponent 1), as names are asked for in life."""
    rng = random.Random(seed)
    weights = list(itertools.accumulate(1.0 / rank for rank in range(1, len(items) + 1)))
    return rng.choices(items, cum_weights=weights, k=count)

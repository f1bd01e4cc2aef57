"""The fuzz targets' invariants on their seeds, and on seeds that hypothesis has changed.

This needs no fuzzer, so it holds wherever the tests run; `test_fuzzer.py` and `make fuzz` go on
from the same seeds with one that watches coverage.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.run import SEEDS
from tests.fuzz.targets import TARGETS, load


def seeds(target: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((SEEDS / target).iterdir())}


@st.composite
def changed(draw: st.DrawFn, target: str) -> bytes:
    """A few seeds' parts put together, with words of the format and bytes of any kind between."""
    parts = st.sampled_from([*seeds(target).values(), *load(target).TOKENS])
    data = bytearray(draw(parts))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 8))] = draw(parts | st.binary(max_size=4))
    return bytes(data)


def test_every_target_has_seeds_and_no_seed_is_without_a_target() -> None:
    assert {path.name for path in SEEDS.iterdir()} == set(TARGETS)
    assert all(seeds(target) for target in TARGETS)


@pytest.mark.parametrize(
    ("target", "seed"), [(target, seed) for target in TARGETS for seed in seeds(target)]
)
def test_seed_keeps_the_invariants(target: str, seed: str) -> None:
    load(target).check(seeds(target)[seed])


@pytest.mark.parametrize("target", TARGETS)
@given(st.data())
def test_changed_seed_keeps_the_invariants(target: str, data: st.DataObject) -> None:
    load(target).check(data.draw(changed(target)))


@pytest.mark.parametrize("target", TARGETS)
def test_no_bytes_at_all_keep_the_invariants(target: str) -> None:
    load(target).check(b"")

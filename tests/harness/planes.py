"""The data planes that a gate can have, and which of them the gates of a run get.

Whoever starts a gate for a test does it with `tests.harness.gate_process.Gate`, which has the last
of PLANES, as a gate has by itself, or the one that `pytest --plane NAME` names. The suites whose
gates come from fixtures that take `plane` (see tests/conftest.py) run once on each of PLANES, or on
the named one alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gate.proxy import native


@dataclass(slots=True, frozen=True)
class Plane:
    """A data plane, and what is in the environment of a gate that is to have it."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


PYTHON = Plane("python", {"GATE_PROCESS__NATIVE": "off"})
NATIVE = Plane("native", {"GATE_PROCESS__NATIVE": "auto"})
AS_CONFIGURED = Plane("as configured")
"""For a gate whose settings say it, to change it while it runs."""
PLANES = (PYTHON,) if native.MISSING else (PYTHON, NATIVE)

_chosen: tuple[Plane, ...] = PLANES


def choose(name: str) -> None:
    """Have no gate of this run use another plane than the one called `name`."""
    global _chosen
    _chosen = tuple(plane for plane in PLANES if plane.name == name)


def chosen() -> tuple[Plane, ...]:
    """Return the planes on which this run tries the data plane's suites."""
    return _chosen


def default() -> Plane:
    """Return the plane of a gate for which none was named."""
    return _chosen[-1]

"""What a gate tells the registry of itself: the revision that it enforces in all its workers.

A gate that pulls tells it in two headers of the pull. One that is pushed to tells it by its answer
(`gate.changes.push`), with its name in the first of them. Any other, as one that follows NATS,
posts it to a path of its own.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

NAME_HEADER: Final = "Gate-Name"
ENFORCED_HEADER: Final = "Gate-Enforced"
"""On a pull: `EPOCH REVISION`."""

_ENFORCED: Final = re.compile(r"([!-~]{1,64}) ([0-9]{1,18})").fullmatch


class GatePosition(BaseModel):
    """网关位置 / the revision that a gate enforces in all its workers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epoch: str = Field(min_length=1, max_length=64)
    revision: int = Field(ge=0, lt=2**63, strict=True)
    channel: str = Field("pull", pattern=r"^(pull|push|nats)$")


def position_path(gate: str) -> str:
    """Return the path of the registry at which a gate tells its position."""
    return f"/v1/gates/{quote(gate, safe='')}/position"


def enforced_header(epoch: str, revision: int) -> str:
    """Return the value of `Gate-Enforced` on a pull."""
    return f"{epoch} {revision}"


def read_enforced(text: str) -> GatePosition | None:
    """Return what `Gate-Enforced` on a pull says; None for another text."""
    match = _ENFORCED(text)
    if match is None:
        return None
    return GatePosition(epoch=match[1], revision=int(match[2]), channel="pull")

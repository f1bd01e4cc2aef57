"""What queries, bodies and answers are made of."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A closed, immutable part of a request or an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def moment(unix: float) -> datetime:
    """A Unix time as answers have it: UTC, to the millisecond."""
    return datetime.fromtimestamp(round(unix, 3), UTC)

"""What the bodies, queries and answers of an API are made of."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A closed, immutable part of a request or an answer: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def moment(unix: float) -> datetime:
    """Return a Unix time as answers have it: UTC, to the millisecond."""
    return datetime.fromtimestamp(round(unix, 3), UTC)

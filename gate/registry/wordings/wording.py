"""The texts of one thing that the registry refuses."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

REFUSED: Final = HTTPStatus.UNPROCESSABLE_ENTITY
CONFLICT: Final = HTTPStatus.CONFLICT


@dataclass(slots=True, frozen=True)
class Wording:
    """The texts of one error code; `{name}` places are filled from the error's details."""

    status: HTTPStatus
    zh: str
    en: str

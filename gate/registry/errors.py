"""How the registry refuses: by a code, whose sentences stand in `gate.registry.wordings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gate.registry.wordings import CATALOGUE


class Said(NamedTuple):
    """A detail that reads differently in the two languages."""

    zh: str
    en: str


class RegistryFailure(Exception):
    """Something that the registry was to do did not come about; says why."""


class RegistryError(RegistryFailure):
    """A refusal by the registry; nothing was changed.

    `code` is a key of the catalogue, `field` the input field that it is about ("" where none),
    `faults` every rule of orders that is not met (`gate.registry.orders.rule_texts.Finding`),
    `details` what fills the sentences.
    """

    def __init__(
        self, code: str, *, field: str = "", faults: Sequence[object] = (), **details: object
    ) -> None:
        self.code = code
        self.field = field
        self.faults = tuple(faults)
        self.details: dict[str, object] = details
        wording = CATALOGUE[code]
        self.status = wording.status
        self.zh = wording.zh.format(
            field=field, **{name: _shown(item, "zh") for name, item in details.items()}
        )
        self.en = wording.en.format(
            field=field, **{name: _shown(item, "en") for name, item in details.items()}
        )
        super().__init__(self.en)


def _shown(item: object, language: str) -> object:
    """Return a detail as it may be printed and stored: what is not printable is escaped."""
    if isinstance(item, Said):
        item = getattr(item, language)
    if not isinstance(item, str) or item.isprintable():
        return item
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in item
    )

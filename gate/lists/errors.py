"""What can be wrong with a list."""

from __future__ import annotations


class ListError(Exception):
    """Something about a list; says what, where and what to do, in Chinese and in English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


class UnreadableList(ListError):
    """The file as a whole cannot be read."""


class NoHeader(UnreadableList):
    """The header is missing, or does not say enough."""

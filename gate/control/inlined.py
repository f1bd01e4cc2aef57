"""Styles and scripts that stand in a page itself, and what lets a browser take just these."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Final

_COLOURS: Final = (files("gate.control") / "colours.css").read_text(encoding="utf-8")


def style(package: str, name: str) -> str:
    """Return a page's style: the colours that all pages share, and its own."""
    return _COLOURS + (files(package) / name).read_text(encoding="utf-8")


def source(text: str) -> str:
    """Return a source of a content security policy that allows exactly this text, inline."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

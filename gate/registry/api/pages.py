"""Pages: a limit, and a cursor that is the key of the last row, made opaque."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import Field

from gate.net.model import Model
from gate.registry.errors import RegistryError

T = TypeVar("T")


class PageQuery(Model):
    """Which page."""

    limit: int = Field(100, ge=1, le=1000, description="每页条数 / rows of a page")
    cursor: str | None = Field(
        None, max_length=1024, description="上一页的 next / `next` of the page before"
    )

    def after_text(self) -> str:
        """Return the key after which the page begins. Raises RegistryError `cursor_invalid`."""
        if self.cursor is None:
            return ""
        try:
            text = base64.b64decode(self.cursor, b"-_", validate=True).decode()
        except ValueError as error:
            raise RegistryError("cursor_invalid", field="cursor") from error
        if not text.isprintable():
            raise RegistryError("cursor_invalid", field="cursor")
        return text

    def after_number(self) -> int:
        """Return the number after which the page begins. Raises RegistryError `cursor_invalid`."""
        text = self.after_text() or "0"
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise RegistryError("cursor_invalid", field="cursor")
        return int(text)


def next_cursor(rows: Sequence[T], limit: int, key: Callable[[T], object]) -> str | None:
    """Return the cursor of the page after `rows`, or None if it was the last."""
    if len(rows) < limit:
        return None
    return base64.urlsafe_b64encode(str(key(rows[-1])).encode()).decode()

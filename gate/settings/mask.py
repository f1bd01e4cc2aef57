"""The settings as they may be shown: secrets are masked."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import BaseModel

from gate.settings.describe import plain

MASK: Final = "********"

_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s:]*):\S*@")
"""The password in a URL (RFC 3986 3.2.1), up to the last @: some take an unencoded @ or / in it."""


def masked(model: BaseModel) -> dict[str, Any]:
    """Return every key of `model` with its value, as JSON has it.

    A secret that is set is shown as `MASK`, and so is a password in a URL.
    """
    return {
        name: MASK
        if _is_secret(model, name) and getattr(model, name) is not None
        else _value(value)
        for name, value in ((name, getattr(model, name)) for name in type(model).model_fields)
    }


def _is_secret(model: BaseModel, name: str) -> bool:
    extra = type(model).model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("secret"))


def _value(value: Any) -> Any:
    shown = plain(value)
    if isinstance(value, BaseModel) and isinstance(shown, dict):
        return masked(value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return without_password(shown) if isinstance(shown, str) else shown


def without_password(url: str) -> str:
    """Return a URL that may be shown."""
    return _PASSWORD.sub(rf"\1:{MASK}@", url)

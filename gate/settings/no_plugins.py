"""Spares pydantic the search for plug-ins, if this is loaded before it.

It looks through every installed distribution for one, and nothing here wants any. With its own
switch, PYDANTIC_DISABLE_PLUGINS, it still loads what would look: `importlib.metadata`, and the 40
modules that this one loads, a tenth of the settings' time to load.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any, Final

_LOADER: Final = "pydantic.plugin._loader"


class _NoPlugins(ModuleType):
    """Stands in for pydantic's module that looks for them, until it is asked for anything else."""

    @staticmethod
    def get_plugins() -> tuple[()]:
        return ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        sys.modules.pop(_LOADER, None)
        return getattr(importlib.import_module(_LOADER), name)


os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
sys.modules.setdefault(_LOADER, _NoPlugins(_LOADER))

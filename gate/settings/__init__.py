"""The configuration of one gate: a typed model, its loader and its description.

A leaf: nothing here imports anything else of the project's.
"""

from gate.settings.base import Address
from gate.settings.load import ConfigError, Problem, load
from gate.settings.model import (
    Admin,
    Limits,
    Listener,
    Log,
    Mode,
    Notice,
    Policy,
    Process,
    Route,
    Settings,
    UpstreamPool,
    Upstreams,
)
from gate.settings.registry import Registry, RegistryTls

__all__ = [
    "Address",
    "Admin",
    "ConfigError",
    "Limits",
    "Listener",
    "Log",
    "Mode",
    "Notice",
    "Policy",
    "Problem",
    "Process",
    "Registry",
    "RegistryTls",
    "Route",
    "Settings",
    "UpstreamPool",
    "Upstreams",
    "load",
]

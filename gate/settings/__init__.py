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
from gate.settings.sync import (
    EMBEDDED,
    NONE,
    ClientTls,
    Nats,
    Push,
    PushTarget,
    ServerTls,
    Sync,
)

__all__ = [
    "EMBEDDED",
    "NONE",
    "Address",
    "Admin",
    "ClientTls",
    "ConfigError",
    "Limits",
    "Listener",
    "Log",
    "Mode",
    "Nats",
    "Notice",
    "Policy",
    "Problem",
    "Process",
    "Push",
    "PushTarget",
    "Registry",
    "RegistryTls",
    "Route",
    "ServerTls",
    "Settings",
    "Sync",
    "UpstreamPool",
    "Upstreams",
    "load",
]

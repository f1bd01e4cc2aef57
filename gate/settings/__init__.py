"""The configuration of one gate: a typed model, its loader and its description.

A leaf: nothing here imports anything else of the project's.
"""

from gate.settings.base import Address
from gate.settings.load import ConfigError, Problem, load
from gate.settings.model import (
    Limits,
    Listener,
    Mode,
    Notice,
    Policy,
    Process,
    Route,
    Settings,
    UpstreamPool,
    Upstreams,
)
from gate.settings.operations import AccessLog, Admin, AdminTls, Log, Unfiled, UnfiledReport
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
    "AccessLog",
    "Address",
    "Admin",
    "AdminTls",
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
    "Unfiled",
    "UnfiledReport",
    "UpstreamPool",
    "Upstreams",
    "load",
]

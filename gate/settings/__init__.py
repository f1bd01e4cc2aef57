"""The configuration of one gate: a typed model, its loader and its description.

A leaf: nothing here imports anything else of the project's.
"""

import gate.settings.no_plugins  # noqa: F401 - before pydantic is loaded
from gate.settings.base import Address
from gate.settings.limits import Limits
from gate.settings.listeners import Destination, Listener, Mode, special
from gate.settings.load import ConfigError, Problem, load
from gate.settings.model import (
    Notice,
    Process,
    Route,
    Settings,
    UpstreamPool,
    Upstreams,
)
from gate.settings.operations import (
    AccessLog,
    Admin,
    AdminTls,
    LogSettings,
    ReportSettings,
    TrafficReportSettings,
    Unfiled,
)
from gate.settings.orders import (
    AccessOpens,
    NoticeSettings,
    OrderSettings,
    RuleSettings,
    Sms,
    SmtpSettings,
    Unknown,
    WebhookSettings,
)
from gate.settings.policy import PolicySettings
from gate.settings.registry import RegistrySettings, RegistryTls
from gate.settings.route_match import RouteMatch, split_match
from gate.settings.routes_file import (
    NOT_REGULAR,
    BadRoute,
    RouteLine,
    RoutePlaces,
    each_route,
    parse_routes,
    pool_of,
    read_routes,
    route_files,
    route_of,
    routes_of_text,
    stamp_of_routes,
    stray_routes,
    words_of,
)
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
    "NOT_REGULAR",
    "AccessLog",
    "AccessOpens",
    "Address",
    "Admin",
    "AdminTls",
    "BadRoute",
    "ClientTls",
    "ConfigError",
    "Destination",
    "Limits",
    "Listener",
    "LogSettings",
    "Mode",
    "Nats",
    "Notice",
    "NoticeSettings",
    "OrderSettings",
    "PolicySettings",
    "Problem",
    "Process",
    "Push",
    "PushTarget",
    "RegistrySettings",
    "RegistryTls",
    "ReportSettings",
    "Route",
    "RouteLine",
    "RouteMatch",
    "RoutePlaces",
    "RuleSettings",
    "ServerTls",
    "Settings",
    "Sms",
    "SmtpSettings",
    "Sync",
    "TrafficReportSettings",
    "Unfiled",
    "Unknown",
    "UpstreamPool",
    "Upstreams",
    "WebhookSettings",
    "each_route",
    "load",
    "parse_routes",
    "pool_of",
    "read_routes",
    "route_files",
    "route_of",
    "routes_of_text",
    "special",
    "split_match",
    "stamp_of_routes",
    "stray_routes",
    "words_of",
]

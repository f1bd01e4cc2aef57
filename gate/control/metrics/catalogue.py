"""Every metric of the gate's: its name, kind, labels and meaning.

`WORKER_METRICS` come from the workers' figures, `GATE_METRICS` from the control process. No
label holds a domain name or a client address. `gate/docs/metrics.md` is written from here.
The registry's own metrics are in gate/registry/api/metrics.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Prometheus' metric types, as used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Sample = tuple[tuple[str, ...], float]
"""The labels' values and the value."""


@dataclass(slots=True, frozen=True)
class Metric:
    """One metric family."""

    name: str
    """Full name; a counter's ends in _total."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    """Where a worker's figures have it; the labels' values are the keys below."""


def _worker(name: str, kind: Kind, source: str, help_: str, *labels: str) -> Metric:
    return Metric(name, kind, help_, labels, tuple(source.split(".")))


C, G, H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

WORKER_METRICS: tuple[Metric, ...] = (
    _worker(
        "gate_decisions_total",
        C,
        "decisions",
        "Decisions: pass, block, or monitor (would be blocked if the listener enforced).",
        "listener",
        "scheme",
        "verdict",
        "reason",
    ),
    _worker("gate_cache_hits_total", C, "cache.hits", "Verdicts answered from memory."),
    _worker("gate_cache_misses_total", C, "cache.misses", "Verdicts looked up in the replica."),
    _worker("gate_cache_evictions_total", C, "cache.evictions", "Verdicts dropped for room."),
    _worker("gate_cache_entries", G, "cache.size", "Verdicts in memory, over all workers."),
    _worker(
        "gate_connections_accepted_total",
        C,
        "connections_accepted",
        "Client connections taken.",
        "listener",
    ),
    _worker("gate_connections_open", G, "connections_open", "Client connections open now."),
    _worker(
        "gate_connections_limit",
        G,
        "connections_limit",
        "Client connections that all workers together take.",
    ),
    _worker(
        "gate_connections_ended_total",
        C,
        "connections_ended",
        "Client connections by cause of end.",
        "cause",
    ),
    _worker(
        "gate_data_plane_workers",
        G,
        "workers",
        "Workers by data plane: native (compiled) or python. Those that a reload or an upgrade has "
        "replaced count until they end.",
        "plane",
    ),
    _worker(
        "gate_pending_bytes",
        G,
        "pending_bytes",
        "Bytes held of hellos and requests that cannot be judged yet.",
    ),
    _worker(
        "gate_pending_bytes_limit",
        G,
        "pending_bytes_limit",
        "Such bytes that all workers together hold; whoever wants more is reset.",
    ),
    _worker("gate_http_requests_total", C, "requests", "HTTP requests read."),
    _worker(
        "gate_http_responses_total", C, "responses", "HTTP responses by status class.", "class"
    ),
    _worker(
        "gate_bytes_total",
        C,
        "bytes",
        "Bytes relayed: up to the origins, down to the clients.",
        "direction",
    ),
    _worker(
        "gate_first_bytes_malformed_total",
        C,
        "first_bytes_malformed",
        "Connections whose first bytes are neither HTTP nor a ClientHello that can be judged, by "
        "what is wrong with them.",
        "kind",
    ),
    _worker(
        "gate_tls_ech_total", C, "ech_hellos", "TLS and QUIC hellos with Encrypted Client Hello."
    ),
    _worker(
        "gate_acme_refused_total",
        C,
        "challenges_refused",
        "ACME requests of names without a filing that policy.acme_http would let through and a "
        "bound did not: per name, per address, or per worker (10,000 a minute).",
        "bound",
    ),
    _worker(
        "gate_quic_flows",
        G,
        "quic.flows",
        "QUIC connections now: held (hello incomplete), open (client not proven yet), or proven.",
        "state",
    ),
    _worker(
        "gate_quic_flows_limit",
        G,
        "quic.flows_limit",
        "QUIC connections that all workers together take.",
    ),
    _worker(
        "gate_quic_flows_ended_total",
        C,
        "quic.ended",
        "QUIC connections by cause of end.",
        "cause",
    ),
    _worker(
        "gate_quic_flows_moved_total",
        C,
        "quic.moved",
        "QUIC connections that went on from another address of their client.",
    ),
    _worker(
        "gate_quic_flows_handed_over_total",
        C,
        "quic.handed_over",
        "QUIC connections that a worker took over from its predecessor.",
    ),
    _worker(
        "gate_quic_datagrams_dropped_total",
        C,
        "quic.dropped",
        "Datagrams of clients that went nowhere, by cause.",
        "cause",
    ),
    _worker(
        "gate_quic_answers_total",
        C,
        "quic.answers",
        "Datagrams of the gate's own: close, version_negotiation, or suppressed by a limit.",
        "kind",
    ),
    _worker(
        "gate_quic_queue_drops_total",
        C,
        "quic.queue_drops",
        "Datagrams that the kernel dropped because a worker did not read them in time.",
        "listener",
    ),
    _worker(
        "gate_upstream_connects_total",
        C,
        "upstream_connects",
        "Connections made to an origin.",
        "address",
    ),
    _worker(
        "gate_upstream_failures_total",
        C,
        "upstream_failures",
        "Connections to an origin that failed.",
        "address",
    ),
    _worker(
        "gate_upstream_responses_refused_total",
        C,
        "upstream_responses_refused",
        "Responses of an origin that were answered with 502, or cut, by what is wrong with them.",
        "address",
        "kind",
    ),
    _worker(
        "gate_upstream_resting",
        G,
        "upstream_resting",
        "Workers in which the origin rests after a failure.",
        "address",
    ),
    _worker(
        "gate_upstream_connections_idle",
        G,
        "upstream_idle",
        "Unused connections kept open to an origin.",
        "address",
    ),
    _worker(
        "gate_upstream_connect_seconds",
        H,
        "upstream_connect_seconds",
        "Time to connect to an origin.",
    ),
    _worker(
        "gate_first_bytes_seconds",
        H,
        "first_bytes_seconds",
        "Time from accept to a whole ClientHello or a request's first byte, of connections "
        "whose first read did not have it.",
    ),
    _worker(
        "gate_lookup_seconds",
        H,
        "cache.lookup_seconds",
        "Time to judge a host that is not in memory; one in 16 is measured.",
    ),
    _worker(
        "gate_access_lines_total",
        C,
        "access_lines",
        "Log lines on decisions: written, suppressed for being over the limit, or dropped because "
        "standard error was not read in time.",
        "result",
    ),
    _worker(
        "gate_routes_behind",
        G,
        "routes_behind",
        "Workers that go on with earlier routes, because upstreams.routes_file can't be read.",
    ),
    _worker(
        "gate_handler_failures_total",
        C,
        "handler_failures",
        "Connections ended by a fault of the gate's own; each is in the log.",
    ),
)

READY = Metric("gate_ready", G, "1 when the gate takes traffic.")
WORKERS = Metric("gate_workers", G, "Worker processes that are linked and serve.")
RESTARTS = Metric(
    "gate_process_restarts_total", C, "Child processes started again after they died.", ("process",)
)
RELOADS = Metric(
    "gate_reloads_total",
    C,
    "Reloads of the settings, by result: done (the new workers serve, and the old ones take no "
    "connections any more), refused (for an error in the settings), or rolled_back (the new "
    "processes did not serve in time).",
    ("result",),
)
TURNED_AWAY = Metric(
    "gate_control_connections_refused_total",
    C,
    "Connections over the limit of the admin port or the notice page, closed at once.",
    ("listener",),
)
OVERRIDES = Metric(
    "gate_overrides", G, "Operators' exemptions and suspensions in force, by kind.", ("kind",)
)
MONITORING = Metric(
    "gate_listener_monitoring",
    G,
    "1 for a listener that judges and counts without blocking (mode: monitor), else 0.",
    ("listener",),
)
UNFILED_NAMES = Metric(
    "gate_unfiled_names", G, "Rows in the table of blocked names that are asked for."
)
UNFILED_REPORTS = Metric(
    "gate_unfiled_reports_total",
    C,
    "Reports of blocked names to the registry (unfiled.report), by result: taken, failed (it waits "
    "and is told again), or refused for good and dropped.",
    ("result",),
)
UNFILED_REPORTED = Metric(
    "gate_unfiled_reported_names_total",
    C,
    "Blocked names in those reports that the registry has taken, or refused.",
    ("result",),
)
UNFILED_WAITING = Metric(
    "gate_unfiled_report_names_waiting", G, "Blocked names that the registry is to be told of."
)
UNFILED_DROPPED = Metric(
    "gate_unfiled_report_dropped_total",
    C,
    "Requests that nobody is told of, because too many names were waiting already, or the registry "
    "refused the report.",
)
TRAFFIC_REPORTS = Metric(
    "gate_traffic_reports_total",
    C,
    "Reports to the registry of filed domains with traffic (traffic_report), by result: taken, "
    "failed (it waits and is told again), or refused for good and dropped.",
    ("result",),
)
TRAFFIC_WAITING = Metric(
    "gate_traffic_report_domains_waiting",
    G,
    "Filed domains with traffic that the registry is to be told of.",
)
ENTRIES = Metric("gate_replica_entries", G, "Domains in the replica.")
REVISION = Metric("gate_replica_revision", G, "Revision of the replica in its registry epoch.")
UPDATED = Metric(
    "gate_replica_updated_timestamp_seconds", G, "When the replica was last confirmed current."
)
SYNC_ENFORCED = Metric(
    "gate_sync_enforced_revision", G, "Revision that is known to be in force in every worker."
)
SYNC_HEAD = Metric(
    "gate_sync_registry_revision", G, "The registry's newest revision that this gate heard of."
)
SYNC_STALENESS = Metric(
    "gate_sync_staleness_seconds",
    G,
    "Time since the registry last said that this gate has all there is.",
)
SYNC_STALE = Metric(
    "gate_sync_stale", G, "1 when the staleness is beyond the setting sync.stale_seconds."
)
SYNC_CONNECTED = Metric(
    "gate_sync_connected", G, "1 when the channel to the registry works.", ("channel",)
)
SYNC_HELD = Metric(
    "gate_sync_held_closing_domains",
    G,
    "Domains that a snapshot would close which waits for a person's word; 0 when none waits.",
)
SYNC_CHANGES = Metric("gate_sync_changes_total", C, "Changes of filings applied.")
SYNC_SNAPSHOTS = Metric("gate_sync_snapshots_total", C, "Whole sets of filings taken.")
SYNC_BATCHES = Metric(
    "gate_sync_batches_total", C, "Signed batches in force, signs of life included.", ("channel",)
)
SYNC_REFUSED = Metric(
    "gate_sync_refused_total",
    C,
    "Batches, snapshots and connections that came to nothing.",
    ("channel", "cause"),
)
CERTIFICATES = Metric(
    "gate_certificate_expiry_timestamp_seconds",
    G,
    "When the first certificate of a setting ends; the registry's /metrics has it, too.",
    ("setting",),
)
BUILD = Metric("gate_build_info", G, "Always 1; the version of the program.", ("version", "python"))
MEMORY = Metric(
    "gate_process_resident_memory_bytes", G, "Resident memory of a process.", ("process",)
)
CPU = Metric(
    "gate_process_cpu_seconds_total", C, "User and system time of a process.", ("process",)
)
FILES = Metric("gate_process_open_fds", G, "Open files of a process.", ("process",))

GATE_METRICS: tuple[Metric, ...] = (
    READY,
    WORKERS,
    RESTARTS,
    RELOADS,
    TURNED_AWAY,
    OVERRIDES,
    MONITORING,
    UNFILED_NAMES,
    UNFILED_REPORTS,
    UNFILED_REPORTED,
    UNFILED_WAITING,
    UNFILED_DROPPED,
    TRAFFIC_REPORTS,
    TRAFFIC_WAITING,
    ENTRIES,
    REVISION,
    UPDATED,
    SYNC_ENFORCED,
    SYNC_HEAD,
    SYNC_STALENESS,
    SYNC_STALE,
    SYNC_CONNECTED,
    SYNC_HELD,
    SYNC_CHANGES,
    SYNC_SNAPSHOTS,
    SYNC_BATCHES,
    SYNC_REFUSED,
    CERTIFICATES,
    BUILD,
    MEMORY,
    CPU,
    FILES,
)

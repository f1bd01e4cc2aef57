"""The service's own figures, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gate.changes.errors import Cause
from gate.registry.service import RegistryService


class _ServiceState(Collector):
    """What is read off at the moment of a scrape."""

    def __init__(self, service: RegistryService) -> None:
        self._service = service
        self._certificates = service.certificates
        self._feed = service.feed
        self._distribution = service.distribution

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: the feed may not have begun."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the log's head, the gates that are pushed to, the stream, and the certificates."""
        head = self._feed.head
        yield GaugeMetricFamily(
            "gate_registry_revision", "Newest revision of the change log.", head.revision
        )
        revision = GaugeMetricFamily(
            "gate_registry_gate_revision",
            "Newest revision that a gate acknowledged as enforced.",
            labels=["gate"],
        )
        acknowledged = GaugeMetricFamily(
            "gate_registry_gate_acknowledged_timestamp_seconds",
            "When a gate last acknowledged.",
            labels=["gate"],
        )
        failing = GaugeMetricFamily(
            "gate_registry_gate_push_failing",
            "1 while pushes to a gate fail, else 0; the log and GET /v1/followers say why.",
            labels=["gate"],
        )
        failures = CounterMetricFamily(
            "gate_registry_gate_push_failures", "Failed pushes to a gate.", labels=["gate"]
        )
        for gate in self._distribution.gates:
            revision.add_metric([gate.name], gate.revision or 0)
            acknowledged.add_metric([gate.name], gate.acknowledged_at)
            failing.add_metric([gate.name], float(bool(gate.last_error)))
            failures.add_metric([gate.name], gate.failures)
        yield revision
        yield acknowledged
        yield failing
        yield failures
        held = self._service.snapshots.held
        yield GaugeMetricFamily(
            "gate_registry_set_held",
            "1 while a set that has shrunk unexplained waits for a person's word.",
            float(held is not None),
        )
        yield from self._sighted()
        ends = GaugeMetricFamily(
            "gate_certificate_expiry_timestamp_seconds",
            "When the first certificate of a setting ends.",
            labels=["setting"],
        )
        for setting, end in self._certificates.ends():
            ends.add_metric([setting], end)
        yield ends
        refused = CounterMetricFamily(
            "gate_registry_connections_refused",
            "Connections closed for others' sake (limit) or without a good handshake, by cause.",
            labels=["cause"],
        )
        turned_away = self._service.turned_away
        refused.add_metric(["limit"], turned_away[Cause.LIMIT])
        refused.add_metric(["handshake"], turned_away[Cause.HANDSHAKE])
        yield refused
        published = self._distribution.published
        if published is not None:
            yield GaugeMetricFamily(
                "gate_registry_published_revision",
                "Newest revision in the NATS stream.",
                published.revision,
            )

    def _sighted(self) -> Iterator[Metric]:
        """Yield what the last look at what gates have seen came to; nothing before the first."""
        look = self._service.look
        if look is None:
            return
        yield GaugeMetricFamily(
            "gate_registry_blocked_matched",
            "Blocked domains that seem an account's.",
            look.blocked,
        )
        if look.idle is not None:
            yield GaugeMetricFamily(
                "gate_registry_idle_filings",
                "Filed domains without traffic for `sightings.idle_days`; absent where the gates' "
                "word does not go far enough.",
                look.idle,
            )
        yield GaugeMetricFamily(
            "gate_registry_hollow_subjects", "Subjects on record without any service.", look.hollow
        )


class Metrics:
    """Counters of one service, and its state."""

    def __init__(self, service: RegistryService) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_ServiceState(service))
        self.requests = Counter(
            "gate_registry_requests",
            "Requests by endpoint (its name in the OpenAPI document) and status.",
            ["endpoint", "status"],
            registry=self._registry,
        )
        self.refusals = Counter(
            "gate_registry_refusals",
            "Refused requests by code.",
            ["code"],
            registry=self._registry,
        )

    def exposed(self) -> web.Response:
        """Return the answer to a scrape."""
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

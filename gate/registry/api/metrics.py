"""The service's own figures, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gate.registry.api.service import Service
from gate.sync.errors import Cause


class _State(Collector):
    """What is read off at the moment of a scrape."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._certificates = service.certificates
        self._feed = service.feed
        self._distribution = service.distribution

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: the feed may not have begun."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The log's head, the gates that are pushed to, the stream, and the certificates."""
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
        for gate in self._distribution.gates:
            revision.add_metric([gate.name], gate.revision or 0)
            acknowledged.add_metric([gate.name], gate.acknowledged_at)
        yield revision
        yield acknowledged
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
        refused.add_metric(["limit"], turned_away[Cause.LIMIT] + self._service.evicted())
        refused.add_metric(["handshake"], turned_away[Cause.HANDSHAKE])
        yield refused
        published = self._distribution.published
        if published is not None:
            yield GaugeMetricFamily(
                "gate_registry_published_revision",
                "Newest revision in the NATS stream.",
                published.revision,
            )


class Metrics:
    """Counters of one service, and its state."""

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_State(service))
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
        """The answer to a scrape."""
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

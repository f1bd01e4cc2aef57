"""What one client, one connection and one worker may take.

gate/proxy/admission.py and gate/native/plane.pyx hold who connects to it.
"""

from __future__ import annotations

from pydantic import Field

from gate.settings.base import Bytes, Seconds, Section


class Limits(Section):
    """Bounds on what one client, one connection and one worker may take."""

    head_bytes: Bytes = Field(
        32768, ge=1024, le=65536, description="Largest HTTP request head in bytes; then 431."
    )
    head_seconds: Seconds = Field(
        10.0, gt=0, description="Seconds for a request head to be complete; then 408."
    )
    hello_seconds: Seconds = Field(
        5.0, gt=0, description="Seconds for a TLS ClientHello to be complete; then a reset."
    )
    idle_seconds: Seconds = Field(
        60.0, gt=0, description="Seconds that a kept-alive client connection may be silent."
    )
    tunnel_idle_seconds: Seconds = Field(
        3600.0, gt=0, description="Seconds that a TLS or WebSocket tunnel may be silent both ways."
    )
    body_idle_seconds: Seconds = Field(
        60.0, gt=0, description="Seconds without progress in a request or response body."
    )
    connections_per_worker: int = Field(
        16000, ge=1, description="Client connections open at a time in one worker."
    )
    connections_per_address: int = Field(
        8000, ge=1, description="Client connections open at a time from one address, per worker."
    )
    pending_bytes: Bytes = Field(
        1 << 26,
        ge=1 << 20,
        description="Bytes held of hellos and requests that are not complete, or wait their turn, "
        "per worker; a connection that wants more is reset. What comes whole is not counted.",
    )
    destinations: int = Field(
        10_000,
        ge=1,
        description="Hosts that a worker remembers of those that connections are addressed to; "
        "the one that was unused longest goes first. When all have open connections, more are "
        "refused.",
    )
    quic_flows_per_worker: int = Field(
        16000, ge=1, description="QUIC connections open at a time in one worker."
    )
    quic_flows_per_address: int = Field(
        1000, ge=1, description="QUIC connections open at a time from one address, per worker."
    )
    quic_unproven_flows: int = Field(
        2048,
        ge=1,
        description="QUIC connections per worker whose client has not answered the origin yet, so "
        "that its address may be forged; the oldest gives way.",
    )
    quic_idle_seconds: Seconds = Field(
        120.0,
        gt=0,
        description="Seconds that a QUIC connection may be silent; 10 at most until its client has "
        "answered the origin.",
    )
    acme_per_name: int = Field(
        30,
        ge=1,
        description="ACME requests for one name without a filing that a worker lets through in a "
        "minute (policy.acme_http: allow); what is over it is blocked.",
    )
    acme_per_address: int = Field(
        300,
        ge=1,
        description="Such requests of one client address, of all names, in a minute.",
    )
    quic_answers_per_address: int = Field(
        100,
        ge=0,
        description="Datagrams of its own (refusals, Version Negotiation) that a worker sends to "
        "one address in a second.",
    )
    quic_answers_per_worker: int = Field(
        50_000,
        ge=0,
        description="Such datagrams that a worker sends in a second, to all addresses.",
    )

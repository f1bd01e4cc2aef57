"""What is decided where the filings alone do not say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gate.settings.base import Section


class PolicySettings(Section):
    """What is decided where the filings alone do not say."""

    ip_hosts: Literal["block", "allow"] = Field(
        "block", description="Requests by bare IP address, in HTTP or a TLS hello: block or allow."
    )
    no_sni: Literal["block", "allow"] = Field(
        "block", description="TLS without a server name: block or allow."
    )
    no_host: Literal["block", "allow"] = Field(
        "block", description="HTTP/1.0 without a Host: block or allow (to the default route)."
    )
    ech: Literal["allow_outer", "block"] = Field(
        "allow_outer",
        description="TLS with Encrypted Client Hello: allow_outer judges the outer name, block "
        "resets. Browsers send what looks like it to every host, so block shuts them out.",
    )
    acme_http: Literal["block", "allow"] = Field(
        "block",
        description="ACME HTTP-01 (GET /.well-known/acme-challenge/TOKEN) for names without a "
        "filing here: block or allow. With allow a site can serve that path unfiled; each request "
        "has its line in the log, under the reason acme. Bounds: limits.acme_per_name, "
        "acme_per_address.",
    )
    quic_refusal: Literal["close", "drop"] = Field(
        "close",
        description="QUIC that is blocked: close tells the client at once (CONNECTION_REFUSED), "
        "drop leaves it to its time-out.",
    )
    cache_size: int = Field(
        100_000, ge=1, description="Verdicts kept in memory by each worker (about 300 bytes each)."
    )
    revoked_connections: Literal["reset", "keep"] = Field(
        "reset",
        description="Open tunnels and kept-alive connections of a domain that has just been "
        "revoked: reset cuts them, keep lets them end by themselves.",
    )

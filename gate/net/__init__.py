"""Plumbing that servers share: TLS, limits on connections, retry times, OpenAPI documents."""

"""Programs of the machine that the suites drive."""

from __future__ import annotations

import os
import shutil

import pytest

_PACKAGES = {
    "apache2": "apache2-bin",
    "chromium": "chromium",
    "curl": "curl",
    "exim4": "exim4-daemon-light",
    "faketime": "faketime",
    "go": "golang-go",
    "haproxy": "haproxy",
    "gtlsclient": "ngtcp2-client",
    "gtlsserver": "ngtcp2-server",
    "ip": "iproute2",
    "mount": "mount",
    "nats-server": "nats-server",
    "nft": "nftables",
    "nginx": "nginx-light",
    "node": "nodejs",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "systemd-nspawn": "systemd-container",
    "systemd-socket-activate": "systemd",
    "umount": "mount",
    "unshare": "util-linux",
    "wrk": "wrk",
}
_SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/usr/local/go/bin"


def require(program: str) -> str:
    """Return the path of `program`; where it is missing the test fails and says what to install."""
    path = shutil.which(program, path=_SEARCH)
    if path is None:
        pytest.fail(f"{program} is missing: apt-get install {_PACKAGES[program]}", pytrace=False)
    return path

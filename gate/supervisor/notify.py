"""Tells systemd how the gate is doing (sd_notify(3): datagrams to $NOTIFY_SOCKET)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends state to systemd; does nothing where no $NOTIFY_SOCKET is set."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # "@name" is an abstract socket: its address begins with a NUL byte.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.watchdog_seconds = _watchdog(environ)
        """Seconds between two signs of life that systemd wants; 0 for none."""

    def send(self, **state: str | int) -> None:
        """Send `READY=1`-like assignments; a systemd that has gone away is no error."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in state.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto(text.encode(), self._address)
            except OSError:
                return


def _watchdog(environ: Mapping[str, str]) -> float:
    """Half of $WATCHDOG_USEC, as sd_watchdog_enabled(3) advises; only if it is meant for us."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or (meant_for and meant_for != str(os.getpid())):
        return 0.0
    return int(microseconds) / 2e6

"""Tells a running gate, from another process, that its replica holds a new set."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from gate.ipc import messages as lines
from gate.ipc.errors import IpcError

_SECONDS = 15.0


class RefreshError(IpcError):
    """The running gate did not confirm that the new set is in force."""


def refresh(path: Path) -> bool:
    """Have the gate whose control socket is at `path` drop all cached verdicts.

    Returns when that is in force in every worker; False when no gate runs there.
    Raises RefreshError.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_SECONDS)
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:
            raise RefreshError(
                f"control socket {path}: {error.strerror}; run the command as the gate's user, "
                "or reload the gate"
            ) from None
        try:
            sock.sendall(lines.encode({"type": "refresh"}))
            with sock.makefile("rb") as answers:
                line = answers.readline()
        except OSError as error:
            raise RefreshError(f"control socket {path}: no answer ({error})") from None
    reply = json.loads(line) if line.endswith(b"\n") else {"error": "the link was cut"}
    if "error" in reply:
        raise RefreshError(f"the running gate: {reply['error']}")
    return True

"""Copies of the program: what a test starts begins as a fork of a process that has it loaded.

To load the program takes most of what a start costs, and the suite starts hundreds. So each process
of a test run keeps a few others that have loaded it, have done nothing else, and run no thread. For
a start one of them forks, and its copy gets the descriptors, the environment, the arguments and the
folder that an executed program would have, and goes on into the same `main`. From then on it is
the program: it forks its own children, is signalled and killed, and leaves an exit status.

What a copy cannot show: that the program can be executed at all, its own command line in /proc, how
much memory it takes without what it may need later, and what it loads by itself. Whoever tests that
executes it (`executing`, or the fixture `executed`), as `pytest --executed` does everywhere.

The first part of this module runs in the process of the tests, `main` in the one that is forked.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO, Any, Final, NoReturn

_ROOT: Final = Path(__file__).parents[2]
_BEGIN: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from tests.harness.prefork import main; sys.path.pop(0); main()"
)
_LONGEST: Final = 1 << 17
"""Bytes of a request, most of which is an environment."""

_executed = False


def set_executed(*, executed: bool) -> None:
    """Settle for this run whether every program is executed, and none is a copy."""
    global _executed
    _executed = executed


def is_executed() -> bool:
    """Return whether the next program is to be executed."""
    return _executed


@contextlib.contextmanager
def executing() -> Iterator[None]:
    """Within this block every program that is started is executed."""
    before = _executed
    set_executed(executed=True)
    try:
        yield
    finally:
        set_executed(executed=before)


class Loaded(Enum):
    """What a process has loaded for its copies."""

    GATE = (
        "gate.cli.serve",
        "gate.control.api.service",
        "gate.control.server",
        "gate.proxy.udp.plane",
        "cryptography.x509",
        "concurrent.futures.thread",
        "gate.sync.agent",
        "gate.sync.source",
    )
    REGISTRY = (*GATE, "gate.cli.registry.running")


@dataclass(slots=True)
class Copy:
    """A started copy; to be used as a `subprocess.Popen`."""

    pid: int
    _status: socket.socket
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, less the signal's number if one killed it; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status when it has ended; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"copy {self.pid}", timeout or 0)
            told = self._status.recv(64)
            assert told, f"who started process {self.pid} has ended"
            self.returncode = int(told)
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signal it, unless it is known to have ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """End it by SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.send_signal(signal.SIGKILL)


@dataclass(slots=True)
class _Original:
    """A process that has loaded something, and is forked on request."""

    loaded: Loaded
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _channel: socket.socket = field(init=False)
    _process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                # -P: nothing is imported from the present folder, as in the program.
                [
                    *(sys.executable, "-P", "-c", _BEGIN, str(_ROOT)),
                    *(str(theirs.fileno()), self.loaded.name),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, request: dict[str, Any], descriptors: Sequence[int]) -> Copy:
        """Start a copy with three standard descriptors."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            passed = [*descriptors, theirs.fileno()]
            socket.send_fds(self._channel, [json.dumps(request).encode()], passed)
            pid = self._channel.recv(64)
        assert pid, f"nobody forks: {self.loaded}"
        return Copy(int(pid), mine)


_originals: dict[tuple[int, Loaded], _Original] = {}


def start(
    arguments: Sequence[str],
    loaded: Loaded,
    *,
    output: IO[Any],
    errors: IO[Any],
    stdin: IO[Any] | None = None,
    environment: dict[str, str] | None = None,
    open_files: int | None = None,
) -> Copy:
    """Start the program; `arguments` begin with its name, `open_files` is a hard limit."""
    sys.audit("subprocess.Popen", arguments[0], arguments, None, environment)
    key = (os.getpid(), loaded)  # a fork of the tests' process is not to talk on its channels
    if key not in _originals:
        _originals[key] = _Original(loaded)
    request = {
        "arguments": list(arguments),
        "environment": dict(os.environ) if environment is None else environment,
        "folder": os.getcwd(),
        "open_files": open_files,
    }
    with open(os.devnull, "rb") as nothing:
        given = (stdin or nothing, output, errors)
        return _originals[key].fork(request, [file.fileno() for file in given])


def main() -> NoReturn:
    """Load what was asked for, fork as often as asked, and in each copy be the program."""
    _, channel, loaded = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends with the tests, and says nothing
    for name in Loaded[loaded].value:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    request = _serve(int(channel))
    if request is None:
        os._exit(0)
    _be_the_program(request)


def _serve(number: int) -> dict[str, Any] | None:
    """Fork until nobody asks any more. Returns in each copy, with what was asked for."""
    poll = select.poll()
    poll.register(number, select.POLLIN)
    running: dict[int, tuple[int, int]] = {}
    """For each descriptor of a copy, its process id and the descriptor for its exit status."""
    while True:
        for ready, _ in poll.poll():
            if ready in running:
                pid, told = running.pop(ready)
                poll.unregister(ready)
                _tell(pid, told)
                os.close(ready)
                continue
            channel = socket.socket(fileno=number)
            data, given, _, _ = socket.recv_fds(channel, _LONGEST, 4)
            if not data:
                return None
            pid = os.fork()
            if pid == 0:
                channel.detach()
                for target, descriptor in enumerate(given[:3]):
                    os.dup2(descriptor, target)
                os.closerange(3, max(*given, *running, number, 64) + 64)
                request: dict[str, Any] = json.loads(data)
                return request
            running[os.pidfd_open(pid)] = (pid, given[3])
            poll.register(next(reversed(running)), select.POLLIN)
            for descriptor in given[:3]:
                os.close(descriptor)
            channel.send(str(pid).encode())
            channel.detach()


def _tell(pid: int, descriptor: int) -> None:
    """Say how a copy has ended to who started it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with socket.socket(fileno=descriptor) as told, contextlib.suppress(OSError):
        told.send(str(code).encode())


def _be_the_program(request: dict[str, Any]) -> NoReturn:
    """Go on as the program goes on that was executed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if (limit := request["open_files"]) is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    sys.argv = request["arguments"]
    sys.orig_argv = [sys.executable, *sys.argv]
    from gate.cli import main as program

    sys.exit(program())

"""Copies of the program: what a test starts begins as a fork of a process that has it loaded.

To load the program takes most of what a start costs, and the suite starts hundreds. So each process
of a test run keeps a few others that have loaded it, have done nothing else, and run no thread. For
a start one of them forks, and its copy gets the descriptors, the environment, the arguments and the
folder that an executed program would have, and goes on into the same `main`. From then on it is
the program: it forks its own children, is signalled and killed, and leaves an exit status.

What a copy cannot show: that the program can be executed at all, its own command line in /proc, how
much memory it takes without what it may need later, what it loads by itself, and how it is taken
apart at the end. Whoever tests that executes it (`executing`, or the fixture `executed`), as
`pytest --executed` does everywhere.

A script that starts the program by its name does so with a `gate` of `program_folder`, which asks
for a copy, hands signals on, and ends as the copy does.

The first part of this module runs in the process of the tests, `main` in the one that is forked.
"""

from __future__ import annotations

import atexit
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
import tempfile
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
_NAMED: Final = """\
#!{python} -IS
import json, os, signal, socket, sys
handed_on = {{signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}}
signal.pthread_sigmask(signal.SIG_BLOCK, handed_on)
channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
channel.connect({address!r})
mask = os.umask(0)
request = {{
    "arguments": [{program!r}, *sys.argv[1:]],
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "open_files": None,
    "mask": mask,
}}
socket.send_fds(channel, [json.dumps(request).encode()], [0, 1, 2])
pid = int(channel.recv(64))
for number in handed_on:
    signal.signal(number, lambda number, _: os.kill(pid, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, handed_on)
code = int(channel.recv(64))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""
"""A program that has a copy started, and ends as it does."""

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
    address: bytes = field(init=False)
    """Where others ask it; without a file (unix(7), abstract)."""
    _process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as others:
            others.bind("")
            others.listen()
            self.address = others.getsockname()
            self._process = subprocess.Popen(
                # -P: nothing is imported from the present folder, as in the program.
                [
                    *(sys.executable, "-P", "-c", _BEGIN, str(_ROOT)),
                    *(str(theirs.fileno()), str(others.fileno()), self.loaded.name),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), others.fileno()],
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


def _original(loaded: Loaded) -> _Original:
    key = (os.getpid(), loaded)  # a fork of the tests' process is not to talk on its channels
    if key not in _originals:
        _originals[key] = _Original(loaded)
    return _originals[key]


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
    request = {
        "arguments": list(arguments),
        "environment": dict(os.environ) if environment is None else environment,
        "folder": os.getcwd(),
        "open_files": open_files,
        "mask": None,
    }
    with open(os.devnull, "rb") as nothing:
        given = (stdin or nothing, output, errors)
        return _original(loaded).fork(request, [file.fileno() for file in given])


@contextlib.contextmanager
def program_folder(program: str) -> Iterator[str]:
    """A folder for PATH whose `gate` is a copy of `program`, or the program if that is executed."""
    if _executed:
        yield str(Path(program).parent)
        return
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / Path(program).name
        address = _original(Loaded.REGISTRY).address
        named.write_text(_NAMED.format(python=sys.executable, address=address, program=program))
        named.chmod(0o755)
        yield folder


def main() -> NoReturn:
    """Load what was asked for, fork as often as asked, and in each copy be the program."""
    _, channel, others, loaded = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends with the tests, and says nothing
    for name in Loaded[loaded].value:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    request = _serve(int(channel), int(others))
    if request is None:
        os._exit(0)
    _be_the_program(request)


def _serve(number: int, others: int) -> dict[str, Any] | None:
    """Fork until nobody asks any more. Returns in each copy, with what was asked for.

    The tests ask on a channel of theirs, and send a descriptor for the exit status along; others
    connect, ask once, and are told on the connection.
    """
    poll = select.poll()
    poll.register(number, select.POLLIN)
    poll.register(others, select.POLLIN)
    channel = socket.socket(fileno=number)
    listener = socket.socket(fileno=others)
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
            asking = channel if ready == number else listener.accept()[0]
            data, given, _, _ = socket.recv_fds(asking, _LONGEST, 4)
            if not data:
                if asking is channel:
                    return None
                asking.close()
                continue
            pid = os.fork()
            if pid == 0:
                for target, descriptor in enumerate(given[:3]):
                    os.dup2(descriptor, target)
                highest = max(*given, *running, number, others, asking.fileno(), 64)
                for one in (channel, listener, asking):
                    one.detach()
                os.closerange(3, highest + 64)
                request: dict[str, Any] = json.loads(data)
                return request
            asking.send(str(pid).encode())
            told = given[3] if asking is channel else asking.detach()
            running[os.pidfd_open(pid)] = (pid, told)
            poll.register(next(reversed(running)), select.POLLIN)
            for descriptor in given[:3]:
                os.close(descriptor)


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
    if request["mask"] is not None:
        os.umask(request["mask"])
    if (limit := request["open_files"]) is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    sys.argv = request["arguments"]
    sys.orig_argv = [sys.executable, *sys.argv]
    from gate.cli import main as program

    try:
        program()
    except SystemExit as end:
        _end(end.code)
    _end(0)


def _end(code: int | str | None) -> NoReturn:
    """End as the interpreter does, but for freeing all that is loaded, one object after another.

    In a copy each must first be copied itself, so that would take longer than most commands do.
    """
    if isinstance(code, str):
        print(code, file=sys.stderr)
    status = code if isinstance(code, int) else int(code is not None)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        status = 120
    os._exit(status & 255)

"""Processes: start on a core, find the children, read CPU time and memory, stop.

CPU time is the kernel's own sum for a process and all its threads, in nanoseconds, read through
the process's CPU clock; `/proc/PID/stat` shows the same in ticks of 10 ms.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1


class BenchError(RuntimeError):
    """A round that cannot count, or a server that does not run; the text says what to do."""


class NotOffered(BenchError):
    """A server does not do this by design; nothing failed."""


def spawn(
    command: Sequence[str],
    *,
    cores: set[int],
    log: Path,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` bound to `cores`; its standard error (and output, if not piped) go to `log`.

    Raises BenchError when the program is not there.
    """
    with log.open("ab") as sink:
        try:
            child = subprocess.Popen(
                ["taskset", "-c", ",".join(map(str, sorted(cores))), *command],
                stdin=stdin,
                stdout=sink if stdout is None else stdout,
                stderr=sink,
                env=env,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise BenchError(f"{error.filename} is not installed") from error
    return child


def stop(child: subprocess.Popen[bytes], grace: float = 5.0) -> None:
    """End a started process and its children."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def descendants(pid: int) -> list[int]:
    """`pid` and every process below it."""
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        try:
            for task in Path(f"/proc/{current}/task").iterdir():
                queue.extend(int(x) for x in (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of one process since its start, all its threads; 0.0 if it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def waited_cpu_seconds(pid: int) -> float:
    """CPU time of children that the process has waited for, in ticks of 10 ms."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return 0.0
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True, frozen=True)
class Memory:
    """Bytes; `pss` shares out pages that several processes map, `rss` does not."""

    rss: int
    pss: int
    private: int

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss + other.rss, self.pss + other.pss, self.private + other.private)


def memory(pid: int) -> Memory:
    """Resident memory of one process."""
    values = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        key, _, rest = line.partition(":")
        if key in values:
            values[key] = int(rest.split()[0]) * 1024
    return Memory(values["Rss"], values["Pss"], values["Private_Clean"] + values["Private_Dirty"])


def descriptors(pid: int) -> int:
    """Open descriptors of one process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def listening_inodes(port: int, pid: int) -> set[str]:
    """The sockets that listen on a port (IPv4) in a process's network, as `/proc/PID/fd` has it."""
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            found.add(f"socket:[{fields[9]}]")
    return found


def holds(pid: int, targets: set[str]) -> bool:
    """Whether a process has one of these open."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(os.readlink(entry) in targets for entry in folder.iterdir())
    except FileNotFoundError:
        return False


def free_ports(count: int) -> list[int]:
    """Free loopback ports below the ephemeral range, so that no client socket takes one."""
    ports: list[int] = []
    sockets = []
    candidate = 20_000 + (os.getpid() * 37) % 9_000
    while len(ports) < count:
        candidate += 1
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", candidate))
        except OSError:
            probe.close()
            continue
        ports.append(candidate)
        sockets.append(probe)
    for probe in sockets:
        probe.close()
    return ports


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, child: subprocess.Popen[bytes]
) -> float:
    """Wait for `condition`; gives the seconds it took. Raises BenchError late or on an exit."""
    began = time.monotonic()
    while not condition():
        if child.poll() is not None:
            raise BenchError(f"{what}: the process ended with status {child.returncode}")
        if time.monotonic() - began > seconds:
            raise BenchError(f"{what}: not ready after {seconds:.0f} s")
        time.sleep(0.01)
    return time.monotonic() - began


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a request to the port has an answer: more than that something listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1.0) as probe:
        probe.sendall(b"GET / HTTP/1.1\r\nHost: is-it-up.example\r\n\r\n")
        return bool(probe.recv(1))
    return False


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0

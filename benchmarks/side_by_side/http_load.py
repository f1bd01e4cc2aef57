"""HTTP load by wrk: requests prepared in a file, sent in turn by a small Lua script.

The requests are as browsers send them (about 450 bytes of head). wrk itself counts answers with
a status above 399 and broken connections; what kind of success it was, the upstream's counter
and the mean size of the answers tell.
"""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .process import LOAD_CORE, BenchError

POST_SIZE = 1 << 20
REFUSED_PATH = "/refused"
"""Of a request for an unfiled name, where filed ones come over the same port: see `floor`."""

_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; 23127PN0CC) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/125.0.6422.165 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0",
)

_SCRIPT = """
local requests, turn = {}, 0
function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local size = file:read(10)
    if not size then break end
    requests[#requests + 1] = file:read(tonumber(size))
  end
  file:close()
end
function request()
  turn = turn + 1
  if turn > #requests then turn = 1 end
  return requests[turn]
end
function done(summary, latency, all)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests":%d,"bytes":%d,"us":%d,"connect":%d,"read":%d,"write":%d,' ..
    '"status":%d,"timeout":%d,"p50":%d,"p99":%d}\\n',
    summary.requests, summary.bytes, summary.duration, e.connect, e.read, e.write,
    e.status, e.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(slots=True, frozen=True)
class HttpResult:
    """One run of wrk."""

    requests: int
    bytes: int
    seconds: float
    errors: dict[str, int]
    p50_us: float
    p99_us: float


def request(
    host: str,
    path: str = "/index.html?v=20240601",
    *,
    close: bool = False,
    body: bytes = b"",
    serial: int | None = None,
) -> bytes:
    """One request as a browser sends it; with `serial`, path and cookie are used only once."""
    rng = random.Random(host if serial is None else serial)
    mark = f"{rng.getrandbits(64):016x}"
    if serial is not None:
        path = f"/item/{serial}/{mark[:6]}.html?t={serial * 7919}"
    method = "POST" if body else "GET"
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        f"Connection: {'close' if close else 'keep-alive'}",
        f"User-Agent: {rng.choice(_AGENTS)}",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Encoding: gzip, deflate",
        "Accept-Language: zh-CN,zh;q=0.9,en;q=0.6",
        f"Cookie: sid={mark}; theme=light",
    ]
    if body:
        lines += ["Content-Type: application/octet-stream", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body


def answer_to(address: tuple[str, int], sent: bytes) -> tuple[int, dict[str, str], int]:
    """One request by hand: status, fields in lower case, size of the whole answer.

    Raises BenchError where the connection ends before the answer does.
    """
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(sent)
        data = b""
        while b"\r\n\r\n" not in data:
            part = sock.recv(65536)
            if not part:
                raise BenchError(f"closed without an answer: {data[:80]!r}")
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        fields = {key.lower(): value.strip() for key, _, value in pairs}
        chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        length = int(fields.get("content-length", "0"))
        while not body.endswith(b"0\r\n\r\n") if chunked else len(body) < length:
            part = sock.recv(65536)
            if not part:
                raise BenchError("closed within an answer")
            body += part
    return int(lines[0].split()[1]), fields, len(head) + 4 + len(body)


def write_requests(path: Path, requests: Iterable[bytes]) -> Path:
    """Store requests, each after its size in ten digits, for the Lua script."""
    with path.open("wb") as file:
        for item in requests:
            file.write(b"%010d" % len(item))
            file.write(item)
    return path


def run_wrk(
    host: str, port: int, requests: Path, *, connections: int, seconds: float, script: Path
) -> HttpResult:
    """Drive a server with the stored requests. Raises BenchError when wrk itself fails."""
    if not script.exists():
        script.write_text(_SCRIPT, encoding="ascii")
    command: Sequence[str] = [
        "taskset", "-c", str(LOAD_CORE),
        "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
        "--latency", "-s", str(script), f"http://{host}:{port}/", "--", str(requests),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    found = re.search(r"^\{.*\}$", run.stdout, re.MULTILINE)
    if run.returncode or found is None:
        raise BenchError(f"wrk failed: {run.stderr.strip() or run.stdout.strip()}")
    result = json.loads(found.group())
    errors = {key: result[key] for key in ("connect", "read", "write", "status", "timeout")}
    return HttpResult(
        result["requests"],
        result["bytes"],
        result["us"] / 1e6,
        {key: value for key, value in errors.items() if value},
        result["p50"],
        result["p99"],
    )

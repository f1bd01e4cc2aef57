"""The messages on the control socket: one JSON object a line, UTF-8.

    worker -> control   {"type":"hello","worker":0,"pid":71,"born":12345}
    control -> worker   {"id":1,"type":"welcome"}
    worker -> control   {"type":"reply","id":1}
    control -> worker   {"id":7,"type":"invalidate","domains":["a.cn","b.cn"],"revoked":["a.cn"],
                         "revision":9}
    worker -> control   {"type":"farewell","stats":{...},"unfiled":[...]}

A worker answers every request, in order, and only once what it asks for is in force.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

LINE_BYTES = 4 * 1024 * 1024
"""The longest line that a reader takes."""

Message = dict[str, Any]


class LineError(Exception):
    """The other side sent something that is not a message."""


def encode(message: Message) -> bytes:
    """One message as a line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


async def read(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None at the end of the stream. Raises LineError."""
    try:
        line = await reader.readline()
    except (ValueError, ConnectionError) as error:  # too long, or reset
        raise LineError(str(error)) from None
    if not line.endswith(b"\n"):
        return None
    try:
        message = json.loads(line)
    except ValueError:
        raise LineError(f"not JSON: {line[:80]!r}") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise LineError(f"no object with a type: {line[:80]!r}")
    return message

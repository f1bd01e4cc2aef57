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

from gate.ipc.errors import IpcError

LINE_BYTES = 4 * 1024 * 1024
"""The longest line that a reader takes."""

Message = dict[str, Any]


class MessageError(IpcError):
    """The other side sent something that is not a message."""


def encode(message: Message) -> bytes:
    """Return one message as a line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


async def read(reader: asyncio.StreamReader) -> Message | None:
    """Return the next message; None at the end of the stream, however it ended.

    Raises MessageError.
    """
    try:
        line = await reader.readline()
    except ConnectionError:  # a process that is killed resets what it had open
        return None
    except ValueError as error:  # too long
        raise MessageError(str(error)) from None
    if not line.endswith(b"\n"):
        return None
    try:
        message = json.loads(line)
    except ValueError:
        raise MessageError(f"not JSON: {line[:80]!r}") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise MessageError(f"no object with a type: {line[:80]!r}")
    return message

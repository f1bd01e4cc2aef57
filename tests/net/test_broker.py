"""How a gate or registry presents itself to NATS: its credentials file."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import nkeys
import pytest

from gate.changes.errors import Cause, SyncError
from gate.net.broker import connected
from gate.settings import Nats

# Seed and key of a user made for this test.
SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER).decode()
CREDENTIALS = (
    "-----BEGIN NATS USER JWT-----\nthe.users.jwt\n------END NATS USER JWT------\n\n"
    f"-----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
)


async def told(path: Path) -> tuple[dict[str, str], SyncError]:
    """What a server that refuses everybody is told on the way, and the error in the end."""
    words: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"X","nonce":"12345","auth_required":true}\r\n')
        words.append(await reader.readline())
        writer.write(b"-ERR 'Authorization Violation'\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = Nats.model_validate(
            {"servers": [f"nats://127.0.0.1:{port}"], "credentials": path}
        )
        with pytest.raises(SyncError) as caught:
            async with connected(settings, "gate"):
                raise AssertionError("it was let in")
    said = words[0].removeprefix(b"CONNECT ") if words and words[0] else b"{}"
    return json.loads(said), caught.value


async def test_the_servers_nonce_is_signed_with_the_key_of_the_credentials_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gate.creds"
    path.write_text(CREDENTIALS)
    connect, error = await told(path)
    assert connect["jwt"] == "the.users.jwt"
    signature = base64.b64decode(connect["sig"])
    assert nkeys.from_seed(bytearray(SEED, "ascii")).verify(b"12345", signature)
    assert error.cause is Cause.UNREACHABLE


@pytest.mark.parametrize(
    "content", [b"\xff\xfe nothing of the sort", CREDENTIALS.replace(SEED, "NOSEED").encode(), b""]
)
async def test_a_credentials_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gate.creds"
    path.write_bytes(content)
    _, error = await told(path)
    assert error.cause is Cause.REFUSED
    assert f"{path} is no NATS credentials file" in str(error)

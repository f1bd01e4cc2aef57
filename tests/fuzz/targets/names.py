"""Host text to canonical names."""

from __future__ import annotations

import re

from gate.names import Host, InvalidName, canonical, check_fileable, parents, to_display

TOKENS = (
    *(b"xn--", b".com.cn", b"example.com", b":8080", b"[::1]", b"127.0.0.1", b"0x7f.1", b"_", b"-"),
    *(
        "。".encode(),
        "．".encode(),
        "中国".encode(),
        "ß".encode(),
        "\u200d".encode(),
        b"xn--fiqs8s",
    ),
)

_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


def check(data: bytes) -> None:
    """Only InvalidName is raised; a canonical name is its own canonical name, and well formed."""
    host = read(data)
    if host is None:
        return
    if host.ip is not None:
        assert host.name == ""
        text = f"[{host.ip}]" if host.ip.version == 6 else str(host.ip)
        assert read(text.encode()) == host
        return
    name = host.name
    assert _NAME.fullmatch(name)
    assert len(name) <= 253
    assert read(name.encode()) == host
    assert read(name.upper().encode()) == host
    assert read(name.encode() + b".") == host
    assert read(name.encode() + b":443") == host
    shown = to_display(name)
    assert shown == name or read(shown.encode()) == host
    above = list(parents(name))
    assert above[:1] == ([name] if "." in name else [])
    assert all(name == parent or name.endswith("." + parent) for parent in above)
    try:
        check_fileable(name)
    except InvalidName as error:
        assert error.reason


def parse(data: bytes) -> object:
    """A host once."""
    return read(data)


def read(data: bytes) -> Host | None:
    """The host, or None if it is refused."""
    try:
        return canonical(data)
    except InvalidName as error:
        assert error.reason
        return None

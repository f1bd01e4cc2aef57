"""Who may ask what of the admin port: by token, or by place for reading."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gate.control.api.access import Caller, Guard, _is_loopback
from gate.control.api.problems import Refusal
from gate.settings import Admin


def asked(
    peer: str = "127.0.0.1", host: str = "127.0.0.1:9464", authorization: str | None = None
) -> web.Request:
    """A request without TLS."""
    headers = {"Host": host}
    if authorization is not None:
        headers["Authorization"] = authorization
    transport = Mock()
    transport.get_extra_info = {"peername": (peer, 1)}.get
    return make_mocked_request("GET", "/v1/status", headers, transport=transport)


def guard_of(folder: Path, **settings: object) -> Guard:
    admin = Admin.model_validate(settings)
    guard = Guard(admin, admin.token_file or folder / "admin.token")
    guard.prepare()
    return guard


def refusal(guard: Guard, request: web.Request, *, writes: bool = False) -> str:
    with pytest.raises(Refusal) as refused:
        guard.admit(request, writes=writes)
    return refused.value.code


@pytest.mark.parametrize(
    ("open_reads", "peer", "host", "admitted"),
    [
        ("loopback", "127.0.0.1", "127.0.0.1:9464", True),
        ("loopback", "127.9.9.9", "localhost:1", True),
        ("loopback", "::1", "[::1]:9464", True),
        ("loopback", "127.0.0.1", "evil.example", False),
        ("loopback", "127.0.0.1", "localhost.evil.example", False),
        ("loopback", "127.0.0.1", "", False),
        ("loopback", "192.0.2.1", "127.0.0.1", False),
        ("everywhere", "192.0.2.1", "evil.example", True),
        ("nowhere", "127.0.0.1", "127.0.0.1", False),
    ],
)
def test_reading_is_open_where_the_settings_say_and_a_change_never_is(
    open_reads: str, peer: str, host: str, admitted: bool, tmp_path: Path
) -> None:
    guard = guard_of(tmp_path, open_reads=open_reads)
    request = asked(peer, host)
    if admitted:
        assert guard.admit(request, writes=False) == Caller("anybody", peer)
    else:
        assert refusal(guard, request) == "token_missing"
    assert refusal(guard, request, writes=True) == "token_missing"


@pytest.mark.parametrize(
    ("authorization", "admitted"),
    [
        ("Bearer correct-horse-battery", True),
        ("bearer  correct-horse-battery ", True),
        ("Bearer wrong", False),
        ("Bearer", False),
        ("", False),
        ("Basic correct-horse-battery", False),
        ("correct-horse-battery", False),
    ],
)
def test_a_token_admits_to_changes_and_a_wrong_one_not_even_to_open_reads(
    authorization: str, admitted: bool, tmp_path: Path
) -> None:
    guard = guard_of(tmp_path, token="correct-horse-battery", open_reads="everywhere")
    request = asked(authorization=authorization)
    for writes in (True, False):
        if admitted:
            assert guard.admit(request, writes=writes) == Caller("token", "127.0.0.1")
        else:
            assert refusal(guard, request, writes=writes) == "token_invalid"


def test_a_token_file_is_read_anew_and_admits_nobody_while_it_has_none(tmp_path: Path) -> None:
    path = tmp_path / "token"
    guard = guard_of(tmp_path, token_file=str(path))
    assert refusal(guard, asked(authorization="Bearer one"), writes=True) == "token_unknown"
    for token in ("one", "two"):
        path.write_text(f"{token}\n")
        request = asked(authorization=f"Bearer {token}")
        assert guard.admit(request, writes=True).actor == "token"
    assert refusal(guard, asked(authorization="Bearer one"), writes=True) == "token_invalid"
    path.write_text("\n")
    assert refusal(guard, asked(authorization="Bearer "), writes=True) == "token_unknown"


def test_a_token_is_made_once(tmp_path: Path) -> None:
    guard_of(tmp_path)
    token = (tmp_path / "admin.token").read_text().strip()
    guard = guard_of(tmp_path)
    assert guard.admit(asked(authorization=f"Bearer {token}"), writes=True).actor == "token"


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.7", False),
        ("192.0.2.7", False),
        ("", False),
    ],
)
def test_a_mapped_peer_is_the_ipv4_peer(address: str, loopback: bool) -> None:
    assert _is_loopback(address) == loopback


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_a_mapped_peer_is_named_by_its_ipv4_address(peer: str, told: str, tmp_path: Path) -> None:
    guard = guard_of(tmp_path)
    token = (tmp_path / "admin.token").read_text().strip()
    given = asked(peer, authorization=f"Bearer {token}")
    assert guard.admit(given, writes=True) == Caller("token", told)

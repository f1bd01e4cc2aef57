"""The embedded registry of `gate serve`."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from gate.net.bind import BindError
from gate.registry.client import Remote, RemoteError
from gate.registry.commands import Approve
from gate.registry.embedded import CannotRun, Embedded, prepare, run
from gate.registry.places import ACCESS_FILE
from gate.settings import Address, RegistrySettings
from tests.harness.waiting import wait_for
from tests.registry.filings import first_filing

SETTINGS = RegistrySettings(listen=Address(host="127.0.0.1", port=0))


def fork(embedded: Embedded) -> int:
    """Run it as the supervisor does, in a forked child."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(embedded)
            code = 0
        finally:
            os._exit(code)
    return child


def admin_token(embedded: Embedded) -> str:
    return embedded.admin_token_file.read_text().strip()


def reader_token(embedded: Embedded) -> str:
    return embedded.token_file.read_text().strip()


def serve_once(embedded: Embedded) -> None:
    """Have the child run until it answers."""
    child = fork(embedded)
    try:
        wait_for(lambda: answers(Remote(embedded.url, admin_token(embedded))), "it to answer", 20)
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


def answers(remote: Remote) -> bool:
    try:
        remote.head()
    except RemoteError:
        return False
    return True


def test_it_serves_in_a_forked_child_and_is_there_again_after_a_restart(tmp_path: Path) -> None:
    embedded = prepare(SETTINGS, tmp_path)
    remote = Remote(embedded.url, admin_token(embedded))
    reader = Remote(embedded.url, reader_token(embedded))
    for end, status in ((signal.SIGKILL, signal.SIGKILL), (signal.SIGTERM, 0)):
        child = fork(embedded)
        try:
            wait_for(lambda: answers(remote), "the registry to answer", 20)
            if end is signal.SIGKILL:
                remote.perform(first_filing("a.cn"))
                remote.perform(Approve(application=1, generate=True))
            assert reader.filing("a.cn").status == "filed"
            with pytest.raises(RemoteError, match="registrar"):
                reader.perform(first_filing("b.cn"))
        finally:
            os.kill(child, end)
            _, found = os.waitpid(child, 0)
        assert found == status
    embedded.listener.close()


def test_preparing_again_keeps_tokens_keys_and_records(tmp_path: Path) -> None:
    def made() -> list[str]:
        embedded = prepare(SETTINGS, tmp_path)
        serve_once(embedded)
        embedded.listener.close()
        files = (embedded.admin_token_file, embedded.token_file, embedded.public_keys)
        return [file.read_text() for file in files]

    assert made() == made()


def test_tokens_of_a_database_that_is_gone_are_made_anew(tmp_path: Path) -> None:
    first = prepare(SETTINGS, tmp_path)
    first.listener.close()
    token = admin_token(first)
    for path in tmp_path.glob("registry.db*"):
        path.unlink()
    second = prepare(SETTINGS, tmp_path)
    second.listener.close()
    assert admin_token(second) != token


def test_tokens_that_the_database_does_not_know_are_made_anew_by_the_child(tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare(SETTINGS, tmp_path / name).listener.close()
    for path in (tmp_path / "one").glob("registry.db*"):
        path.replace(tmp_path / "two" / path.name)
    embedded = prepare(SETTINGS, tmp_path / "two")
    token = admin_token(embedded)
    serve_once(embedded)
    assert admin_token(embedded) != token
    access = json.loads((embedded.places.folder / ACCESS_FILE).read_text())
    assert access == {"url": embedded.url, "token": admin_token(embedded)}
    embedded.listener.close()


def test_a_database_that_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_text("no database, and long enough to be taken for one " * 99)
    with pytest.raises(CannotRun, match="not a database"):
        prepare(SETTINGS, tmp_path)


def test_only_the_owner_may_read_the_tokens(tmp_path: Path) -> None:
    embedded = prepare(SETTINGS, tmp_path)
    embedded.listener.close()
    for name in ("admin.token", "reader.token", "access.json"):
        mode = stat.S_IMODE((embedded.places.folder / name).stat().st_mode)
        assert mode == 0o600


def test_a_busy_port_is_found_before_anything_is_made(tmp_path: Path) -> None:
    embedded = prepare(SETTINGS, tmp_path / "one")
    host, port = embedded.listener.getsockname()
    busy = RegistrySettings(listen=Address(host=host, port=port))
    with pytest.raises(BindError, match="in use"):
        prepare(busy, tmp_path / "two")
    assert not (tmp_path / "two").exists()
    embedded.listener.close()

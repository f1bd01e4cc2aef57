"""`gate config check` refuses what `gate serve` does, in the same words, and warns of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.gate_process import run_gate

pytestmark = pytest.mark.programs


def settings_of(folder: Path, changes: dict[str, Any]) -> Path:
    """A settings file (JSON is YAML) of a gate that cannot bind its admin port: a start ends."""
    base: dict[str, Any] = {
        "state_dir": str(folder / "state"),
        "notice": {"listen": None},
        "sync": {"registry": "none"},
        "admin": {"listen": "192.0.2.1:9464"},
    }
    for key, value in changes.items():
        base[key] = base.get(key, {}) | value
    path = folder / "gate.yaml"
    path.write_text(json.dumps(base))
    return path


def run(*arguments: str) -> tuple[int, list[str]]:
    done = run_gate(*arguments, check=False)
    return done.returncode, done.stderr.splitlines()


PAIR = {"certificate": "/nowhere/a.pem", "key": "/nowhere/a.key"}
NO_PAIR = (
    "can't read /nowhere/a.pem: No such file or directory; `gate certs init` makes certificates to "
    "try"
)
NO_SECRET = "/nowhere/secret cannot be read: No such file or directory"
EMBEDDED = {"registry": "embedded"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"admin": {"tls": PAIR}}, f"admin.tls: {NO_PAIR}"),
        (
            {"process": {"user": "nobody-of-this-name"}},
            "process.user: no user 'nobody-of-this-name' on this machine; make it with "
            "`useradd --system nobody-of-this-name`",
        ),
        (
            {"process": {"group": "nobody-of-this-name"}},
            "process.group: no group 'nobody-of-this-name' on this machine; make it with "
            "`groupadd --system nobody-of-this-name`",
        ),
        ({"sync": EMBEDDED, "registry": {"tls": PAIR}}, f"registry.tls: {NO_PAIR}"),
        (
            {"sync": EMBEDDED, "registry": {"push_tls": {"ca": "/nowhere/a.pem"}}},
            f"registry.push_tls: {NO_PAIR}",
        ),
        (
            {
                "sync": EMBEDDED,
                "registry": {
                    "orders": {
                        "notices": {
                            "channels": ["webhook"],
                            "webhook": {"url": "http://x/", "secret_file": "/nowhere/secret"},
                        }
                    }
                },
            },
            f"registry.orders.notices.webhook.secret_file: {NO_SECRET}",
        ),
    ],
)
def test_what_stops_a_start_is_an_error_in_the_same_words(
    changes: dict[str, Any], line: str, tmp_path: Path
) -> None:
    path = settings_of(tmp_path, changes)
    checked, served = (
        run(*command, "-c", str(path)) for command in (("config", "check"), ("serve",))
    )
    assert checked == (2, [f"gate: {line}"])
    assert served == checked


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    path = settings_of(tmp_path, {"admin": {"tls": PAIR}, "process": {"user": "nobody-x"}})
    status, lines = run("config", "check", "-c", str(path))
    assert (status, [line.split(": ")[1] for line in lines]) == (2, ["admin.tls", "process.user"])


FOLLOWING = {"registry": "https://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"admin": {"token_file": "/nowhere/secret"}},
            f"admin.token_file: {NO_SECRET}; nobody gets in with a token until it can",
        ),
        (
            {"admin": {"listen": "0.0.0.0:9464"}},
            "admin.listen 0.0.0.0:9464 is plain HTTP beyond loopback: its token can be read on the "
            "way; set admin.tls",
        ),
        (
            {"sync": EMBEDDED, "registry": {"listen": "0.0.0.0:9465"}},
            "registry.listen 0.0.0.0:9465 is plain HTTP beyond loopback: its tokens can be read on "
            "the way; set registry.tls",
        ),
        (
            {"sync": {"registry": "http://192.0.2.9:9465"}},
            "sync.registry http://192.0.2.9:9465 is plain HTTP beyond loopback: the token can be "
            "read on the way; use https",
        ),
        ({"sync": FOLLOWING | {"token_file": "/nowhere/secret"}}, f"sync.token_file: {NO_SECRET}"),
        (
            {"sync": FOLLOWING | {"keys": "/nowhere/secret"}},
            f"sync.keys: {NO_SECRET}",
        ),
        ({"sync": FOLLOWING | {"tls": {"ca": "/nowhere/a.pem"}}}, f"sync.tls: {NO_PAIR}"),
        (
            {
                "sync": FOLLOWING
                | {"push": {"listen": "0.0.0.0:9466", "tls": PAIR | {"client_ca": "/nowhere/ca"}}}
            },
            f"sync.push.tls: {NO_PAIR}",
        ),
    ],
)
def test_what_a_gate_can_do_without_for_a_time_is_a_warning(
    changes: dict[str, Any], warning: str, tmp_path: Path
) -> None:
    loopback = {"admin": {"listen": "127.0.0.1:9464"} | changes.get("admin", {})}
    path = settings_of(tmp_path, changes | loopback)
    status, lines = run("config", "check", "-c", str(path))
    assert status == 0
    assert f"gate: warning: {warning}" in lines

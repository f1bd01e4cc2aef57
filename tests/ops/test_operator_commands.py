"""The commands that ask a running gate."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gate.cli.admin.client import Answer, Client
from gate.cli.admin.looking import latest
from tests.harness.gate_process import Gate, run_gate
from tests.harness.operating import command, counts, running_gate
from tests.harness.ports import free_port
from tests.harness.running import fill, new_gate, status_of
from tests.harness.waiting import wait_for

NEW = "n" * 40


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A running gate that the tests of this module leave as they found it."""
    with running_gate(tmp_path_factory.mktemp("gate")) as gate:
        yield gate


def test_exempt_suspend_and_their_ends(gate: Gate) -> None:
    done = command(gate, "exempt", "example.org", "--for", "2h", "--reason", "event")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("in force in every worker\n")
    assert status_of(gate, "www.example.org") == 200
    listed = json.loads(command(gate, "overrides", "--json").stdout)["items"]
    assert [(item["domain"], item["kind"]) for item in listed] == [("example.org", "exempt")]
    wrong = command(gate, "unsuspend", "example.org")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "gate: example.org is not suspended but exempt\n",
    )
    assert command(gate, "unexempt", "example.org").stdout == "example.org: no longer exempt\n"
    assert command(gate, "suspend", "example.com", "--reason", "order").returncode == 0
    assert status_of(gate, "example.com") == 302
    assert command(gate, "unsuspend", "example.com").returncode == 0
    assert status_of(gate, "example.com") == 200


@pytest.mark.parametrize("duration", ["soon", "", "0s", "2", "-1h"])
def test_a_duration_that_is_none_is_wrong_usage(gate: Gate, duration: str) -> None:
    done = command(gate, "exempt", "a.cn", f"--for={duration}", "--reason", "x")
    assert done.returncode == 2
    assert "--for" in done.stderr


def test_mode_drain_and_log_level(gate: Gate) -> None:
    assert command(gate, "mode", "monitor").stdout == "http: monitor (settings: enforce)\n"
    assert status_of(gate, "example.org") == 200
    assert command(gate, "mode", "enforce").stdout == "http: enforce\n"
    assert command(gate, "drain").stdout.startswith("out of rotation; ")
    assert command(gate, "status").returncode == 1
    assert command(gate, "drain", "--end").stdout.startswith("in rotation; ")
    assert command(gate, "log-level", "debug").stdout == "debug (settings: info)\n"
    assert command(gate, "log-level", "info").stdout == "info\n"


def test_status_top_and_unfiled(gate: Gate) -> None:
    for _ in range(3):
        status_of(gate, "asked.example.org")
    wait_for(lambda: counts(gate).get("asked.example.org") == 3, "the name in the table")
    shown = command(gate, "status")
    assert shown.returncode == 0, shown.stderr
    assert ": ready, gate " in shown.stdout
    assert "asked.example.org" in command(gate, "top").stdout
    assert "asked.example.org" in command(gate, "unfiled").stdout
    assert command(gate, "unfiled", "--csv").stdout.startswith("name,")
    for name in ("status", "top", "unfiled", "mode", "log-level", "overrides"):
        assert isinstance(json.loads(command(gate, name, "--json").stdout), dict), name


def test_check_asks_a_running_gate(gate: Gate) -> None:
    asked = ("check", "nobody.example.org", "--url", f"http://127.0.0.1:{gate.admin}")
    said = run_gate(*asked, check=False)
    assert (said.returncode, said.stderr) == (1, "")
    assert said.stdout.startswith("nobody.example.org: blocked (unfiled)\n  route    default\n")
    assert "  http     enforce, to " in said.stdout
    found = json.loads(run_gate(*asked, "--json", check=False).stdout)
    assert found["replica"]["revision"] >= 0
    away = run_gate("check", "a.cn", "--url", f"http://127.0.0.1:{free_port()}", check=False)
    assert away.returncode == 2


def test_reload_says_what_came_of_it(gate: Gate) -> None:
    good = gate.config.read_text()
    try:
        assert command(gate, "reload").stdout == "reloaded\n"
        gate.config.write_text(yaml.safe_dump(gate.settings | {"workers": 3}))
        kept = command(gate, "reload")
        assert (kept.returncode, kept.stdout) == (
            0,
            "reloaded\nworkers changes on a restart only; the old value stays\n",
        )
        # The command itself reads the settings for the state folder: ask by URL.
        token = (gate.directory / "admin.token").read_text().strip()
        gate.config.write_text("workers: many\n")
        url = f"http://127.0.0.1:{gate.admin}"
        refused = run_gate("reload", "--url", url, "--token", token, check=False)
        assert refused.returncode == 1
        assert "refused, nothing has changed:" in refused.stdout
        assert "workers: must be a whole number, not 'many'" in refused.stdout
    finally:
        gate.config.write_text(good)
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready")


def test_without_a_gate_the_commands_say_where_they_looked(tmp_path: Path) -> None:
    gate = new_gate(tmp_path)
    missing = command(gate, "status")
    assert missing.returncode == 2
    assert f"no gate runs in state_dir {tmp_path}" in missing.stderr
    away = run_gate("status", "--url", f"http://127.0.0.1:{free_port()}", check=False)
    assert away.returncode == 2
    assert "no answer from the admin port" in away.stderr


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--url", "http://127.0.0.1:99999", "is not a URL like"),
        ("--url", "http://127.0.0.1:port", "is not a URL like"),
        ("--url", "http://[::1", "is not a URL like"),
        ("--url", "ftp://127.0.0.1", "is not a URL like"),
        ("--url", "http://127.0.0.1:9/v1", "is not a URL like"),
        ("--token", "two words", "a token is one word"),
        ("--token", "\u5bc6\u7801", "a token is one word"),
    ],
)
def test_an_address_or_token_that_is_none_is_a_clear_line(
    option: str, value: str, says: str
) -> None:
    given = [option, value] if option == "--url" else ["--url", "http://127.0.0.1:9", option, value]
    done = run_gate("status", *given, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"gate: {option}: ")
    assert says in line


def test_a_gate_that_is_down_has_its_token_shown_to_nobody(tmp_path: Path) -> None:
    gate = new_gate(tmp_path)
    fill(gate)
    gate.start()
    assert command(gate, "status").returncode == 0
    gate.stop()
    with socket.create_server(("127.0.0.1", gate.admin)) as impostor:
        done = command(gate, "status")
        impostor.setblocking(False)
        with pytest.raises(BlockingIOError):
            impostor.accept()
    assert (done.returncode, done.stderr) == (
        2,
        f"gate: no gate runs in state_dir {tmp_path}; start it, or give its --config or --url\n",
    )


@pytest.mark.parametrize("open_reads", ["loopback", "nowhere"])
def test_a_reload_that_changes_the_token_is_told_as_done(tmp_path: Path, open_reads: str) -> None:
    admin = {"listen": f"127.0.0.1:{free_port()}", "open_reads": open_reads}
    gate = new_gate(tmp_path, admin=admin | {"token": "o" * 40})
    fill(gate)
    gate.start()
    try:
        gate.config.write_text(yaml.safe_dump(gate.settings | {"admin": admin | {"token": NEW}}))
        early = command(gate, "reload")
        assert early.returncode == 2
        assert "until a reload that is the old one" in early.stderr
        done = command(gate, "reload", "--token", "o" * 40)
        assert (done.returncode, done.stdout) == (0, "reloaded\n"), done.stderr
        assert command(gate, "mode").returncode == 0
    finally:
        gate.stop()


@pytest.mark.parametrize("status", [401, 503])
def test_top_says_why_it_has_no_rows(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    refusal = Answer(status, json.dumps({"detail": "the token is not the one"}))
    monkeypatch.setattr(Client, "send", lambda *_, **__: refusal)
    shown = latest(Client("127.0.0.1", 9, "old", None), 20)
    assert str(shown) == f"the gate answers {status}: the token is not the one"

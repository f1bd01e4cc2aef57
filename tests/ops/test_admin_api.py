"""The admin API of the real program: who may do what, and that it is in force when it answers."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from tests.harness.gate_process import Gate
from tests.harness.operating import (
    Reply,
    ask,
    change,
    command,
    counts,
    running_gate,
    token_of,
    wait_for_counts,
)
from tests.harness.ports import free_port
from tests.harness.running import fill, new_gate, pid_of, status_of
from tests.harness.waiting import wait_for

READS = (
    "/v1/status",
    "/v1/overrides",
    "/v1/unfiled",
    "/v1/unfiled.csv",
    "/v1/mode",
    "/v1/log-level",
    "/v1/drain",
    "/v1/config",
    "/v1/audit",
    "/v1/reload",
)
TEN_MINUTES = {"kind": "exempt", "seconds": 600, "reason": "a test"}


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with running_gate(tmp_path) as gate:
        yield gate


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate that several tests ask for nothing, or for what it refuses."""
    with running_gate(tmp_path_factory.mktemp("unchanged")) as gate:
        yield gate


def test_without_a_file_of_routes_it_says_what_to_set(unchanged: Gate) -> None:
    for method, body in (("GET", None), ("PUT", {"http": ["10.0.0.1:80"]}), ("DELETE", None)):
        reply = ask(unchanged, method, "/v1/routes/a.cn", body, token=token_of(unchanged))
        assert reply.status == 409
        assert "upstreams.routes_file is not set" in reply.fields["detail"]


def statuses(gate: Gate, host: str) -> set[int]:
    """The answers of all workers, as far as twenty connections reach."""
    return {status_of(gate, host) for _ in range(20)}


def refusal_of(reply: Reply) -> str:
    return str(reply.fields["type"]).rpartition(":")[2]


def read_to_the_end(sock: socket.socket) -> None:
    while sock.recv(65536):
        continue


# Who may


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/overrides/example.org", TEN_MINUTES),
        ("DELETE", "/v1/overrides/example.org", None),
        ("PUT", "/v1/mode", {"mode": "monitor"}),
        ("PUT", "/v1/drain", {"draining": True}),
        ("PUT", "/v1/log-level", {"level": "debug"}),
        ("POST", "/v1/reload", {}),
        ("POST", "/v1/stop", {}),
        ("POST", "/v1/unfiled/forget", {}),
    ],
)
def test_a_change_needs_the_token_and_is_not_made_without(
    unchanged: Gate, method: str, path: str, body: object
) -> None:
    for token in (None, "wrong", token_of(unchanged) + "x"):
        reply = ask(unchanged, method, path, body, token=token)
        assert reply.status == 401
        assert reply.headers["Content-Type"].startswith("application/problem+json")
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
        assert token_of(unchanged) not in reply.text
    assert ask(unchanged, "GET", "/v1/audit").fields["items"] == []
    assert ask(unchanged, "GET", "/v1/status").fields["ready"]


def test_the_token_is_made_at_the_start_and_for_the_gates_user_alone(unchanged: Gate) -> None:
    path = unchanged.directory / "admin.token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(token_of(unchanged)) == 64


def test_reading_from_loopback_needs_no_token_but_a_host_that_no_website_has(
    unchanged: Gate,
) -> None:
    assert ask(unchanged, "GET", "/v1/status").status == 200
    assert ask(unchanged, "GET", "/v1/status", headers={"Host": "localhost:1"}).status == 200
    assert ask(unchanged, "GET", "/v1/status", headers={"Host": "[::1]"}).status == 200
    assert ask(unchanged, "GET", "/v1/status", headers={"Host": "evil.example"}).status == 401
    assert ask(unchanged, "GET", "/readyz", headers={"Host": "evil.example"}).status == 200


def test_where_reading_is_open_nowhere_loopback_needs_the_token_but_not_for_probes_and_metrics(
    tmp_path: Path,
) -> None:
    admin = {"listen": f"127.0.0.1:{free_port()}", "open_reads": "nowhere"}
    gate = new_gate(tmp_path, admin=admin)
    fill(gate)
    gate.start()
    try:
        for path in READS:
            missing = ask(gate, "GET", path)
            assert (missing.status, refusal_of(missing)) == (401, "token_missing"), path
            wrong = ask(gate, "GET", path, token="wrong")
            assert (wrong.status, refusal_of(wrong)) == (401, "token_invalid"), path
            assert ask(gate, "GET", path, token=token_of(gate)).status == 200, path
        for path in ("/healthz", "/readyz", "/metrics"):
            assert ask(gate, "GET", path).status == 200, path
        assert command(gate, "status").returncode == 0  # it finds the token by itself
    finally:
        gate.stop()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/v1/nothing", None, 404, "nothing is at"),
        ("DELETE", "/v1/mode", None, 405, "takes GET,"),
        ("PUT", "/v1/mode", b"{", 422, "JSON"),
        ("PUT", "/v1/mode", {"mode": "off"}, 422, "mode: "),
        ("PUT", "/v1/mode", {"mode": "monitor", "colour": 1}, 422, "colour: "),
        ("PUT", "/v1/mode", {"mode": "monitor", "listener": "x"}, 404, "there are http"),
        ("PUT", "/v1/mode", b"[" * 20_000, 413, "larger"),
        ("PUT", "/v1/overrides/com.cn", TEN_MINUTES, 422, "public suffix"),
        ("PUT", "/v1/overrides/1.2.3.4", TEN_MINUTES, 422, "IP address"),
        ("PUT", "/v1/overrides/a..b", TEN_MINUTES, 422, "a..b"),
        ("PUT", "/v1/overrides/a.cn", {"kind": "exempt", "reason": "x"}, 422, "must have an end"),
        ("PUT", "/v1/overrides/a.cn", TEN_MINUTES | {"seconds": -1}, 422, "seconds: "),
        ("PUT", "/v1/overrides/a.cn", TEN_MINUTES | {"reason": "\n"}, 422, "reason: "),
        ("DELETE", "/v1/overrides/a.cn", None, 404, "a.cn has no override"),
        ("GET", "/v1/check", None, 422, "host: "),
        ("GET", "/v1/unfiled?limit=0", None, 422, "limit: "),
        ("GET", "/v1/unfiled?limit=1&limit=2", None, 422, "given twice"),
        ("GET", "/v1/unfiled?reason=why", None, 422, "reason: "),
    ],
)
def test_bad_input_is_a_problem_that_says_what_is_wrong(
    unchanged: Gate, method: str, path: str, body: object, status: int, says: str
) -> None:
    reply = ask(unchanged, method, path, body, token=token_of(unchanged))
    assert reply.status == status, reply.text
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert says in reply.fields["detail"]
    assert ask(unchanged, "GET", "/v1/overrides").fields["items"] == []


def test_the_api_describes_itself(unchanged: Gate) -> None:
    validate(ask(unchanged, "GET", "/v1/openapi.json").fields)


# Overrides


def test_an_exemption_and_a_suspension_are_in_force_when_they_are_answered(gate: Gate) -> None:
    assert statuses(gate, "www.example.org") == {302}
    change(gate, "PUT", "/v1/overrides/Example.ORG", TEN_MINUTES)
    assert statuses(gate, "www.example.org") == {200}
    change(gate, "DELETE", "/v1/overrides/example.org")
    assert statuses(gate, "www.example.org") == {302}
    # A registered name, although its owner has put it in the list of public suffixes.
    change(gate, "PUT", "/v1/overrides/sinaapp.com", TEN_MINUTES)
    assert statuses(gate, "www.sinaapp.com") == {200}
    # Names that nobody can file, below one that is filed: hosts as they are judged.
    for name in ("xn--a.example.com", "_x.example.com"):
        assert statuses(gate, name) == {200}
        change(gate, "PUT", f"/v1/overrides/{name}", {"kind": "suspended", "reason": "order"})
        assert statuses(gate, name) == {302}
        change(gate, "DELETE", f"/v1/overrides/{name}")
        assert statuses(gate, name) == {200}
    change(gate, "PUT", "/v1/overrides/example.com", {"kind": "suspended", "reason": "order"})
    assert statuses(gate, "www.example.com") == {302}
    check = ask(gate, "GET", "/v1/check?host=www.example.com").fields
    assert (check["allowed"], check["reason"]) == (False, "suspended")
    assert check["override"]["reason"] == "order"
    assert check["filing"]["domain"] == "example.com"


def test_overrides_last_over_a_restart_and_are_written_down(gate: Gate) -> None:
    change(gate, "PUT", "/v1/overrides/example.org", TEN_MINUTES | {"by": "li"})
    gate.stop()
    gate.start()
    assert statuses(gate, "example.org") == {200}
    (entry,) = ask(gate, "GET", "/v1/audit").fields["items"]
    assert (entry["actor"], entry["by"], entry["action"]) == ("token", "li", "exempt")
    assert (entry["target"], entry["detail"]["reason"]) == ("example.org", "a test")
    assert entry["peer"] == "127.0.0.1"


def test_an_exemption_ends_at_its_time_and_cuts_what_is_open_by_it(gate: Gate) -> None:
    change(gate, "PUT", "/v1/overrides/example.org", TEN_MINUTES | {"seconds": 2})
    with socket.create_connection(("127.0.0.1", gate.ports["http"]), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
        assert b" 200 " in sock.recv(65536)
        sock.settimeout(15)
        with pytest.raises(ConnectionResetError):
            read_to_the_end(sock)
    assert statuses(gate, "example.org") == {302}
    assert ask(gate, "GET", "/v1/overrides").fields["items"] == []


def test_nothing_is_changed_when_it_cannot_be_written_down(gate: Gate) -> None:
    (gate.directory / "audit.jsonl").mkdir()
    reply = ask(gate, "PUT", "/v1/overrides/example.org", TEN_MINUTES, token=token_of(gate))
    assert reply.status == 503
    assert "nothing was changed" in reply.fields["detail"]
    assert statuses(gate, "example.org") == {302}


# Changes to the running gate


def replace(gate: Gate, killed: int) -> None:
    """Kill a process of a gate, and wait until another one does its work."""
    count = len(gate.children())
    os.kill(killed, signal.SIGKILL)
    wait_for(
        lambda: killed not in gate.children() and len(gate.children()) == count,
        "another process in its place",
    )
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready again")


def test_a_mode_is_in_every_worker_and_in_one_that_is_started_again(gate: Gate) -> None:
    change(gate, "PUT", "/v1/mode", {"mode": "monitor"})
    assert statuses(gate, "example.org") == {200}
    for name in ("worker-0", "worker-1", "control"):
        replace(gate, pid_of(gate, name))
    assert statuses(gate, "example.org") == {200}
    change(gate, "PUT", "/v1/mode", {"mode": "enforce"})
    assert statuses(gate, "example.org") == {302}


def test_a_reload_ends_a_mode_for_good_although_somebody_still_talks_to_the_admin_port(
    gate: Gate,
) -> None:
    change(gate, "PUT", "/v1/mode", {"mode": "monitor"})
    head = (
        f"PUT /v1/log-level HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token_of(gate)}"
    )
    with socket.create_connection(("127.0.0.1", gate.admin), timeout=10) as slow:
        # The control process of before waits for the body, and welcomes the new workers meanwhile.
        slow.sendall(
            f"{head}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n".encode()
        )
        change(gate, "POST", "/v1/reload", {})
        wait_for(lambda: gate.total("gate_reloads_total", result="done") == 1, "the reload")
        wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready again")
    assert [item["mode"] for item in ask(gate, "GET", "/v1/mode").fields["items"]] == ["enforce"]
    wait_for(lambda: statuses(gate, "example.org") == {302}, "the mode that is shown")


def test_a_mode_that_was_not_kept_is_in_no_worker(gate: Gate) -> None:
    change(gate, "PUT", "/v1/mode", {"mode": "monitor"})
    (gate.directory / "runtime.json").write_text("damaged")
    os.kill(pid_of(gate, "control"), signal.SIGKILL)
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready again")
    assert [item["mode"] for item in ask(gate, "GET", "/v1/mode").fields["items"]] == ["enforce"]
    assert statuses(gate, "example.org") == {302}


def test_out_of_rotation_the_gate_says_so_and_serves(gate: Gate) -> None:
    change(gate, "PUT", "/v1/drain", {"draining": True})
    status, text = gate.ask_admin("/readyz")
    assert status == 503
    assert "out of rotation" in text
    assert statuses(gate, "example.com") == {200}
    change(gate, "PUT", "/v1/drain", {"draining": False})
    assert gate.ask_admin("/readyz")[0] == 200


def test_out_of_rotation_a_second_is_a_second(gate: Gate) -> None:
    """Also for a control process that has never seen the gate ready."""
    change(gate, "PUT", "/v1/drain", {"draining": True})
    os.kill(pid_of(gate, "control"), signal.SIGKILL)
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 503, "the next control process")

    def beats() -> int:
        return len(ask(gate, "GET", "/v1/status").fields["rates"]["pass"])

    first, began = beats(), time.monotonic()
    wait_for(lambda: time.monotonic() >= began + 2, "two seconds to pass")
    assert beats() <= first + time.monotonic() - began + 2


def test_stop_ends_the_gate_in_good_order(gate: Gate) -> None:
    process = gate.process
    assert process is not None
    change(gate, "POST", "/v1/stop", {})
    assert process.wait(15) == 0
    gate.process = None  # nothing is left to stop


def test_the_settings_are_shown_without_secrets(gate: Gate) -> None:
    gate.stop()
    os.environ["GATE_ADMIN__TOKEN"] = "correct-horse-battery"
    try:
        gate.start()
    finally:
        del os.environ["GATE_ADMIN__TOKEN"]
    shown = ask(gate, "GET", "/v1/config")
    assert "correct-horse" not in shown.text
    assert shown.fields["settings"]["admin"]["token"] == "********"
    level = {"level": "debug"}
    assert ask(gate, "PUT", "/v1/log-level", level, token="correct-horse-battery").status == 200


# The unfiled names


def test_counts_are_exact_over_workers_and_restarts_of_every_process(gate: Gate) -> None:
    for number in range(30):
        assert status_of(gate, f"n{number % 3}.example.org") == 302
    wanted = {f"n{number}.example.org": 10 for number in range(3)}
    wait_for_counts(gate, wanted)
    os.kill(pid_of(gate, "worker-0"), signal.SIGKILL)
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the worker to be back")
    assert counts(gate) == wanted
    assert status_of(gate, "n0.example.org") == 302
    assert gate.stop() == 0  # what the workers counted last goes with them
    gate.start()
    assert counts(gate) == wanted | {"n0.example.org": 11}


def test_names_are_filtered_sorted_and_exported(gate: Gate) -> None:
    for host in ("a.example.org", "a.example.org", "b.example.net", "127.0.0.1"):
        status_of(gate, host)
    wait_for(lambda: len(counts(gate)) == 3, "three names")
    first = ask(gate, "GET", "/v1/unfiled?sort=count&limit=1").fields["items"][0]
    assert (first["name"], first["count"], first["domain"]) == ("a.example.org", 2, "example.org")
    assert (first["listener"], first["route"], first["reason"]) == ("http", "default", "unfiled")
    below = ask(gate, "GET", "/v1/unfiled?domain=example.net").fields["items"]
    assert [row["name"] for row in below] == ["b.example.net"]
    by_ip = ask(gate, "GET", "/v1/unfiled?reason=ip_host").fields["items"]
    assert [row["name"] for row in by_ip] == ["127.0.0.1"]
    exported = ask(gate, "GET", "/v1/unfiled.csv")
    assert exported.headers["Content-Type"].startswith("text/csv")
    assert exported.text.splitlines()[0].startswith("name,display,domain,reason,listener,route,")
    assert len(exported.text.splitlines()) == 4


def test_no_name_is_in_the_metrics(gate: Gate) -> None:
    status_of(gate, "secret-name.example.org")
    wait_for(lambda: counts(gate), "the name in the table")
    assert "secret-name" not in gate.ask_admin("/metrics")[1]
    assert gate.total("gate_unfiled_names") == 1

"""The admin port over TLS: a client certificate stands for the token."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
from pathlib import Path

from gate.net.certificate_expiry import expires_at
from tests.harness.gate_process import run_gate
from tests.harness.ports import free_port
from tests.harness.running import fill, log_of, new_gate, refused
from tests.harness.waiting import wait_for


def put_mode(port: int, certs: Path, *, shows: bool) -> int:
    """Change the mode without a token; the answer's status, or 0 where TLS fails."""
    context = ssl.create_default_context(cafile=certs / "ca.pem")
    if shows:
        context.load_cert_chain(certs / "gate-client.pem", certs / "gate-client.key")
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        body = json.dumps({"mode": "monitor"})
        connection.request("PUT", "/v1/mode", body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def certificate_end(port: int, certs: Path) -> float:
    """When the admin port's certificates end, as its metrics say."""
    context = ssl.create_default_context(cafile=certs / "ca.pem")
    context.load_cert_chain(certs / "gate-client.pem", certs / "gate-client.key")
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    sample = 'gate_certificate_expiry_timestamp_seconds{setting="admin.tls"} '
    (line,) = (line for line in text.splitlines() if line.startswith(sample))
    return float(line.removeprefix(sample))


def test_a_client_certificate_stands_for_the_token_and_is_written_down(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    run_gate("certs", "init", "--dir", str(certs))
    tls = {
        "certificate": str(certs / "gate.pem"),
        "key": str(certs / "gate.key"),
        "client_ca": str(certs / "ca.pem"),
    }
    port = free_port()
    gate = new_gate(tmp_path, workers=1, admin={"listen": f"127.0.0.1:{port}", "tls": tls})
    fill(gate)
    gate.start_until(lambda: put_mode(port, certs, shows=True) == 200, "a change by certificate")
    try:
        assert put_mode(port, certs, shows=False) == 0
        files = ("--ca", "ca.pem"), ("--cert", "gate-client.pem"), ("--key", "gate-client.key")
        options = [part for name, file in files for part in (name, str(certs / file))]
        shown = run_gate("mode", "--config", str(gate.config), *options)
        assert shown.stdout == "http: monitor (settings: enforce)\n"
        end = expires_at(certs / "gate.pem")
        assert certificate_end(port, certs) == end
    finally:
        gate.stop()
    assert '"actor": "certificate ' in (tmp_path / "audit.jsonl").read_text()


def test_certificates_that_cannot_be_used_stop_an_upgrade(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    run_gate("certs", "init", "--dir", str(certs))
    tls = {"certificate": str(certs / "gate.pem"), "key": str(certs / "gate.key")}
    port = free_port()
    gate = new_gate(tmp_path, workers=1, admin={"listen": f"127.0.0.1:{port}", "tls": tls})
    fill(gate)
    gate.start_until(lambda: put_mode(port, certs, shows=False) == 401, "the admin port")
    try:
        assert gate.process is not None
        (certs / "gate.pem").rename(certs / "away.pem")
        gate.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: "upgrade refused:" in log_of(gate), "the refusal", 30)
        assert f"can't read {certs / 'gate.pem'}" in log_of(gate)
        assert put_mode(port, certs, shows=False) == 401
    finally:
        assert gate.stop() == 0


def test_certificates_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    tls = {"certificate": str(tmp_path / "missing.pem"), "key": str(tmp_path / "missing.key")}
    gate = new_gate(tmp_path, admin={"listen": f"127.0.0.1:{free_port()}", "tls": tls})
    assert "missing.pem" in refused(gate)

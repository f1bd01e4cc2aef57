"""Attacks on a real gate: refused, logged and counted, and its state stays what it was."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from gate.changes.batch import MAX_ENVELOPE, PAYLOAD_TYPE, Batch
from gate.changes.envelope import seal
from gate.changes.keys import KeyStore
from gate.changes.snapshot import MANIFEST_HEADER, MANIFEST_TYPE, Manifest
from gate.cli import certs
from gate.filings import Change, Filing, Status
from gate.replica import digest, digest_line
from tests.harness.following import (
    figure,
    follow,
    make_gate,
    passes,
    push_section,
    wait_for_revision,
)
from tests.harness.gate_process import Gate
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.programs

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STRANGER = CryptoSigner.generate_ed25519()


@dataclass
class Target:
    """A gate with a push port under mutual TLS that follows a registry at revision 2."""

    gate: Gate
    registry: RegistryProcess
    certs: Path
    epoch: str
    signer: CryptoSigner
    port: int

    def push(
        self, body: bytes, *, name: str | None = "registry-client", folder: Path | None = None
    ) -> tuple[int, dict[str, Any]]:
        """POST to the push port; status and answer. Raises OSError where TLS forbids it."""
        context = ssl.create_default_context(cafile=str(self.certs / "ca.pem"))
        if name is not None:
            pair = (folder or self.certs) / name
            context.load_cert_chain(f"{pair}.pem", f"{pair}.key")
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=context, timeout=20
        )
        try:
            connection.request("POST", "/v1/push", body)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def batch(self, domain: str = "evil.cn", **more: Any) -> Batch:
        """The next batch, as the registry would send it, with other fields."""
        change = Change(domain, Status.FILED, "", int(time.time()))
        good = Batch(self.epoch, 2, 3, (change,), 3, int(time.time()))
        return replace(good, **more)

    def signed(self, batch: Batch) -> bytes:
        return seal(batch.encode(), PAYLOAD_TYPE, [self.signer])

    def state(self) -> tuple[float, float, bool, bool]:
        return (
            figure(self.gate, "gate_replica_revision"),
            figure(self.gate, "gate_replica_entries"),
            passes(self.gate, "a.cn"),
            passes(self.gate, "evil.cn"),
        )

    def refused(self, cause: str, channel: str = "push") -> float:
        return figure(self.gate, "gate_sync_refused_total", channel=channel, cause=cause)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    import datetime

    folder = tmp_path_factory.mktemp("attacks")
    files = folder / "certs"
    certs.init(files, ["127.0.0.1"], now=datetime.datetime.now(datetime.UTC))
    registry = RegistryProcess(folder / "registry").start()
    push = push_section() | {
        "tls": {
            "certificate": str(files / "gate.pem"),
            "key": str(files / "gate.key"),
            "client_ca": str(files / "ca.pem"),
        }
    }
    gate = make_gate(folder / "gate", follow(registry, pull=False, push=push))
    try:
        registry.file("a.cn")
        revision = registry.file("b.cn")
        gate.start()
        wait_for_revision(gate, revision)
        epoch = registry.remote.head().epoch
        signer = KeyStore(registry.folder / "keys").signers()[0]
        # What comes now comes from this test.
        registry.kill()
        port = int(push["listen"].rpartition(":")[2])
        yield Target(gate, registry, files, epoch, signer, port)
    finally:
        gate.stop()
        registry.kill()


def forged(target: Target) -> bytes:
    """The registry's key id over a payload that it never signed."""
    envelope = json.loads(target.signed(target.batch("other.cn")))
    envelope["payload"] = base64.b64encode(target.batch().encode()).decode()
    return json.dumps(envelope).encode()


def unsigned_type(target: Target) -> bytes:
    """A manifest's signature can't be used for a batch."""
    return seal(target.batch().encode(), MANIFEST_TYPE, [target.signer])


CASES: list[tuple[str, Callable[[Target], bytes], int, str]] = [
    ("a forged signature", forged, 403, "bad_signature"),
    (
        "an unknown key",
        lambda t: seal(t.batch().encode(), PAYLOAD_TYPE, [STRANGER]),
        403,
        "unknown_key",
    ),
    ("an old epoch", lambda t: t.signed(t.batch(epoch="0-old")), 403, "old_epoch"),
    ("another kind of payload", unsigned_type, 400, "malformed"),
    ("no envelope", lambda t: b"{}", 400, "malformed"),
    ("nothing", lambda t: b"", 400, "malformed"),
    ("an oversize batch", lambda t: b"x" * (MAX_ENVELOPE + 1), 413, "oversize"),
    (
        "SQL text for a domain",
        lambda t: t.signed(t.batch("a.cn'; DROP TABLE domains; --")),
        400,
        "malformed",
    ),
    ("a path for a domain", lambda t: t.signed(t.batch("../../etc/passwd.cn")), 400, "malformed"),
    ("a path for an epoch", lambda t: _raw(t, b'"epoch":"../../x"'), 400, "malformed"),
    ("a top-level domain", lambda t: t.signed(t.batch("cn")), 400, "malformed"),
    (
        "a gap",
        lambda t: t.signed(t.batch(from_revision=7, to_revision=8, head=8)),
        409,
        "gap",
    ),
]


def _raw(target: Target, epoch: bytes) -> bytes:
    payload = target.batch().encode().replace(f'"epoch":"{target.epoch}"'.encode(), epoch)
    return seal(payload, PAYLOAD_TYPE, [target.signer])


@pytest.mark.parametrize(("name", "make", "status", "cause"), CASES, ids=[c[0] for c in CASES])
def test_a_bad_push_changes_nothing(
    target: Target, name: str, make: Callable[[Target], bytes], status: int, cause: str
) -> None:
    before, counted = target.state(), max(target.refused(cause), 0)
    answer = target.push(make(target))
    assert answer[0] == status, answer
    assert answer[1]["cause"] == cause
    assert target.state() == before
    assert target.refused(cause) == counted + 1
    assert f"push: {cause}: " in target.gate.log.read_text()


def test_a_gap_is_answered_with_what_the_gate_has(target: Target) -> None:
    _, answer = target.push(target.signed(target.batch(from_revision=7, to_revision=8, head=8)))
    assert answer["have"] == 2


def test_a_replayed_old_batch_brings_nothing_back(target: Target) -> None:
    """The batch that filed a.cn, once recorded, must not undo what came after it."""
    change = Change("evil.cn", Status.FILED, "", 1)
    old = Batch(target.epoch, 0, 1, (change,), 1, int(time.time()))
    before = target.state()
    assert target.push(target.signed(old)) == (200, {"revision": 2})
    assert target.state() == before


@pytest.mark.parametrize(
    ("name", "certificate"),
    [("no certificate", None), ("a server's certificate", "gate"), ("another CA's", "stranger")],
)
def test_without_the_right_certificate_nobody_gets_a_word_in(
    target: Target, tmp_path: Path, name: str, certificate: str | None
) -> None:
    import datetime

    folder = None
    if certificate == "stranger":
        folder = tmp_path / "other"
        certs.init(folder, ["127.0.0.1"], now=datetime.datetime.now(datetime.UTC))
        certificate = "registry-client"
    before = target.state()
    with pytest.raises(OSError):  # noqa: PT011 - an SSL alert or a reset, as it happens
        target.push(target.signed(target.batch()), name=certificate, folder=folder)
    assert target.state() == before


def test_other_methods_and_paths_are_no_way_in(target: Target) -> None:
    context = ssl.create_default_context(cafile=str(target.certs / "ca.pem"))
    pair = target.certs / "registry-client"
    context.load_cert_chain(f"{pair}.pem", f"{pair}.key")
    for method, path, status in (
        ("GET", "/v1/push", 405),
        ("PUT", "/v1/push", 405),
        ("POST", "/", 404),
        ("POST", "/v1/push/../../metrics", 404),
        ("GET", "/metrics", 404),
    ):
        connection = http.client.HTTPSConnection("127.0.0.1", target.port, context=context)
        connection.request(method, path)
        assert connection.getresponse().status == status, (method, path)
        connection.close()


def test_the_real_batch_gets_through_after_all_that(target: Target) -> None:
    assert target.push(target.signed(target.batch("late.cn"))) == (200, {"revision": 3})
    assert passes(target.gate, "www.late.cn")


# A registry that lies


class Liar:
    """An HTTP server in the registry's place, which answers /v1/snapshot as it is told."""

    def __init__(self, signer: CryptoSigner) -> None:
        self.signer = signer
        self.filings = [Filing("evil.cn", Status.FILED)]
        self.body = zstd.compress(
            b"".join(digest_line(f.domain, f.status, f.licence) for f in self.filings)
        )
        self.manifest = Manifest("9-x", 9, 1, digest(self.filings), int(time.time()))
        self.status = 200
        self.asked = 0
        liar = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                liar.asked += 1
                self.send_response(liar.status)
                for name, value in liar.headers().items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(liar.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def headers(self) -> dict[str, str]:
        sealed = seal(self.manifest.encode(), MANIFEST_TYPE, [self.signer])
        return {
            MANIFEST_HEADER: base64.b64encode(sealed).decode(),
            "Content-Length": str(len(self.body)),
        }


def _cut(liar: Liar) -> None:
    liar.body = liar.body[:-4]


def _wrong_digest(liar: Liar) -> None:
    liar.manifest = replace(liar.manifest, sha256="0" * 64)


def _wrong_count(liar: Liar) -> None:
    liar.manifest = replace(liar.manifest, count=2)


def _stranger(liar: Liar) -> None:
    liar.signer = STRANGER


def _no_manifest(liar: Liar) -> None:
    liar.headers = lambda: {"Content-Length": str(len(liar.body))}  # type: ignore[method-assign]


def _forbidden(liar: Liar) -> None:
    liar.status = 401


def _redirect(liar: Liar) -> None:
    liar.status = 302


@pytest.mark.parametrize(
    ("lie", "cause"),
    [
        (_cut, "truncated"),
        (_wrong_digest, "digest"),
        (_wrong_count, "truncated"),
        (_stranger, "unknown_key"),
        (_no_manifest, "malformed"),
        (_forbidden, "refused"),
        (_redirect, "refused"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_bad_snapshot_is_not_taken(
    tmp_path: Path, lie: Callable[[Liar], None], cause: str
) -> None:
    store = KeyStore(tmp_path / "keys")
    store.new()
    liar = Liar(store.signers()[0])
    lie(liar)
    gate = make_gate(
        tmp_path / "gate", {"registry": liar.url, "keys": str(store.public_path)}, workers=1
    )
    try:
        gate.start_unready()
        wait_for(
            lambda: figure(gate, "gate_sync_refused_total", channel="pull", cause=cause) > 0,
            f"the refusal; the log is {gate.log}",
        )
        assert figure(gate, "gate_replica_entries") == 0
        assert gate.ask_admin("/readyz")[0] == 503
        assert f"pull: {cause}: " in gate.log.read_text()
        assert liar.asked < 20, "it does not hammer the registry"
    finally:
        gate.stop()
        liar.server.shutdown()
        liar.server.server_close()


@pytest.mark.parametrize("token", ["", "wrong", "gate_" + "0" * 40, "a b\tc"])
def test_a_wrong_token_gets_no_filings(
    registry: RegistryProcess, tmp_path: Path, token: str
) -> None:
    registry.token_file.write_text(token)
    gate = make_gate(tmp_path / "gate", follow(registry), workers=1)
    try:
        gate.start_unready()
        wait_for(
            lambda: figure(gate, "gate_sync_refused_total", channel="pull", cause="refused") > 0,
            "the refusal",
        )
        assert "sync.token_file" in gate.log.read_text()
        registry.token_file.write_text(registry.reader)
        wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the right token", 30)
    finally:
        gate.stop()

"""The certificates in use are told of before they end."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

import pytest

from gate.cli import certs
from gate.net.certificate_expiry import Certificates, expires_at
from gate.settings import AdminTls, ClientTls, ServerTls

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
END = (NOW + datetime.timedelta(days=365)).timestamp()
DAY = 86_400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    certs.init(tmp_path / "certs", ["localhost"], now=NOW)
    return tmp_path / "certs"


def used(folder: Path) -> dict[str, ClientTls | ServerTls | AdminTls | None]:
    own = {"certificate": folder / "gate.pem", "key": folder / "gate.key"}
    return {
        "admin.tls": AdminTls(**own),
        "sync.tls": ClientTls(ca=folder / "ca.pem"),
        "sync.push.tls": ServerTls(**own, client_ca=folder / "ca.pem"),
        "sync.nats.tls": None,
    }


def test_the_end_of_each_setting_is_that_of_its_first_certificate_to_end(folder: Path) -> None:
    earlier = NOW - datetime.timedelta(days=100)
    certs.init(folder.parent / "other", ["localhost"], now=earlier)
    other = ClientTls(
        ca=folder / "ca.pem",
        certificate=folder.parent / "other" / "gate-client.pem",
        key=folder.parent / "other" / "gate-client.key",
    )
    assert dict(Certificates(used(folder) | {"sync.nats.tls": other}).ends()) == {
        "admin.tls": END,
        "sync.tls": END,
        "sync.push.tls": END,
        "sync.nats.tls": END - 100 * DAY,
    }
    assert "sync.nats.tls" not in dict(Certificates(used(folder)).ends())


def test_files_without_a_certificate_have_no_end(folder: Path) -> None:
    assert expires_at(folder / "none.pem") is None
    assert expires_at(folder / "gate.key") is None
    broken = {"sync.tls": ClientTls(ca=folder / "none.pem")}
    certificates = Certificates(broken)
    certificates.look()
    assert certificates.ends() == []


def test_the_log_tells_once_a_day_from_two_weeks_before_the_end_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = END - 14.01 * DAY
    tls = {"admin.tls": used(folder)["admin.tls"]}
    certificates = Certificates(tls, clock=lambda: now)

    def told() -> list[tuple[int, str]]:
        caplog.clear()
        certificates.look()
        return [(record.levelno, record.getMessage()) for record in caplog.records]

    assert told() == []
    now = END - 13.99 * DAY
    what = f"admin.tls: the certificate {folder / 'gate.pem'}"
    advice = "2027-01-01 00:00 UTC; put a new one in its place, a restart is not needed"
    assert told() == [(logging.WARNING, f"{what} ends in 13 days, on {advice}")]
    assert told() == []
    now = END - 12.99 * DAY
    assert told() == [(logging.WARNING, f"{what} ends in 12 days, on {advice}")]
    now = END + 1
    assert told() == [(logging.ERROR, f"{what} has ended on {advice}")]


def test_the_log_tells_nothing_more_of_a_certificate_that_was_replaced(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = END - DAY
    certificates = Certificates({"admin.tls": used(folder)["admin.tls"]}, clock=lambda: now)
    certificates.look()
    assert len(caplog.records) == 1
    caplog.clear()
    later = datetime.datetime.fromtimestamp(now, datetime.UTC)
    certs.init(folder.parent / "new", ["localhost"], now=later)
    (folder / "gate.pem").write_bytes((folder.parent / "new" / "gate.pem").read_bytes())
    certificates.look()
    assert caplog.records == []

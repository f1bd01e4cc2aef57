"""Exim as a mail server of the tests' own: on a free port of the loopback, mails into a folder."""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from tests.harness.ports import free_port
from tests.harness.tools import require
from tests.harness.waiting import wait_for

_CONFIG = """\
primary_hostname = mail.test
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path =
exim_user = {user}
exim_group = {group}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
domainlist local_domains = owners.test
acl_smtp_rcpt = check
tls_advertise_hosts =
host_lookup =
rfc1413_hosts =
keep_environment =
begin acl
check:
  accept domains = +local_domains
  deny message = no relaying
begin routers
all:
  driver = accept
  domains = +local_domains
  transport = files
begin transports
files:
  driver = appendfile
  directory = {folder}/mails
  create_directory
  maildir_format
  delivery_date_add
  envelope_to_add
  user = {user}
  group = {group}
"""


@dataclass
class MailServer:
    """A running server."""

    folder: Path
    port: int

    def mails(self) -> list[EmailMessage]:
        """What has been delivered, in order."""
        found = sorted((self.folder / "mails" / "new").glob("*"))
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in found]


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a server that takes mail for owners.test and for nobody else; its files go with it."""
    folder = Path(tempfile.mkdtemp(prefix="gate-mail-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        if os.geteuid() == 0:  # Exim delivers nothing as root
            shutil.chown(folder, "nobody", "nogroup")
        port = free_port()
        user, group = folder.owner(), folder.group()
        config = folder / "exim.conf"
        config.write_text(_CONFIG.format(folder=folder, port=port, user=user, group=group))
        process = subprocess.Popen(
            [require("exim4"), "-C", str(config), "-bdf", "-q1m"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: _answers(port), "exim to listen", 30)
        yield MailServer(folder, port)
    finally:
        if process is not None:
            process.terminate()
            process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=2) as client:
            return client.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False

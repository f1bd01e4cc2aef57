"""The channels that notices go out by: the log, a webhook, and mail by SMTP.

The webhook is the real thing: a provider hangs SMS, mail, WeChat and site letters on it. A request
is a POST of the notice as JSON, signed as the Standard Webhooks scheme has it: `webhook-id` (the
notice's id), `webhook-timestamp`, and `webhook-signature`, `v1,` and the base64 of the HMAC-SHA256
of `id.timestamp.body`. Anything but 2xx is tried again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import smtplib
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import Final, Protocol

import aiohttp

from gate.registry.errors import RegistryFailure
from gate.registry.sightings.views import AccountNotice
from gate.registry.workflow.notices import OrderNotice
from gate.settings import SmtpSettings, WebhookSettings

_log = logging.getLogger(__name__)

_SECONDS: Final = 15.0
_MAIL_SECONDS: Final = 45.0
"""For a mail as a whole: a server may take its time with each line."""
_LEAVE_SECONDS: Final = 2.0
_MAILS: Final = 4
"""At a time."""

_Refused = dict[str, tuple[int, bytes]]


Notice = OrderNotice | AccountNotice


class NotTaken(RegistryFailure):
    """A channel has not taken a notice; says why."""


class NoticeChannel(Protocol):
    """What takes notices to owners."""

    async def send(self, notice: Notice, now: int) -> None:
        """Return when it is taken. Raises NotTaken."""


class LogChannel:
    """Writes each notice to the log."""

    async def send(self, notice: Notice, now: int) -> None:
        """Write a notice to the log."""
        text = " | ".join(notice.text_zh.splitlines())
        _log.info("notice %s to %s: %s | %s", notice.id, notice.account, notice.title_zh, text)


class WebhookChannel:
    """Posts each notice to a URL."""

    def __init__(self, settings: WebhookSettings) -> None:
        """Raises OSError for a secret that can't be read."""
        self._url = settings.url
        self._secret = settings.secret_file.read_bytes().strip()

    async def send(self, notice: Notice, now: int) -> None:
        """Post a notice. Raises NotTaken."""
        body = notice.model_dump_json().encode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": notice.id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self._secret, notice.id, now, body),
        }
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    self._url, data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                if not 200 <= answer.status < 300:
                    raise NotTaken(f"{self._url} answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotTaken(f"{self._url}: {error or type(error).__name__}") from error


def sign(secret: bytes, number: str, now: int, body: bytes) -> str:
    """Return the signature of a webhook's request."""
    signed = hmac.new(secret, f"{number}.{now}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


class SmtpChannel:
    """Mails each notice to the address that an account is given by, or to one for all."""

    def __init__(self, settings: SmtpSettings) -> None:
        """Raises OSError for a password that can't be read."""
        self._settings = settings
        self._left: dict[str, list[str]] = {}
        """Who is still to get a notice that others have."""
        # Of its own: a server that hangs keeps no one else from a thread, nor mails from theirs.
        self._threads = ThreadPoolExecutor(_MAILS, "registry-mail")
        self._turns = asyncio.Semaphore(_MAILS)
        file = settings.password_file
        self._password = (
            None if file is None else file.read_text(encoding="utf-8", errors="replace").strip()
        )

    async def send(self, notice: Notice, now: int) -> None:
        """Mail a notice to everybody who has not got it yet.

        Who is refused for good while others take it is told of in the log, and not tried again.
        Raises NotTaken.
        """
        made = mail(notice, self._settings)
        left = self._left.get(notice.id)
        clients: list[_Client] = []
        loop = asyncio.get_running_loop()
        try:
            async with self._turns, asyncio.timeout(_MAIL_SECONDS):
                refused = await loop.run_in_executor(self._threads, self._send, made, left, clients)
        except smtplib.SMTPRecipientsRefused as error:
            if left is None:
                raise NotTaken(f"{self._settings.host}: {error}") from error
            refused = error.recipients
        except (OSError, smtplib.SMTPException) as error:  # TimeoutError, too
            why = error if str(error) else type(error).__name__
            raise NotTaken(f"{self._settings.host}: {why}") from error
        finally:
            for client in clients:  # one that is still at it, for its time is over
                client.hang_up()
        self._left.pop(notice.id, None)
        later = [address for address, (code, _) in refused.items() if code < 500]
        for address in refused.keys() - set(later):
            code, text = refused[address]
            said = text.decode(errors="replace")
            _log.warning("notice %s is not for %s: %d %s", notice.id, address, code, said)
        if later:
            self._left[notice.id] = later
            raise NotTaken(f"{self._settings.host} takes it later for {', '.join(later)}")

    def _send(self, made: EmailMessage, left: list[str] | None, clients: list[_Client]) -> _Refused:
        settings = self._settings
        tls = ssl.create_default_context(cafile=settings.ca)
        client = _Client(settings, clients)
        try:
            if settings.starttls:
                client.starttls(context=tls)
            if settings.user is not None and self._password is not None:
                client.login(settings.user, self._password)
            return client.send_message(made, to_addrs=left)
        finally:
            client.take_leave()


class _Client(smtplib.SMTP):
    """A client that can be ended from another thread, and takes its leave without waiting long.

    What the server has taken stays taken, however it says goodbye.
    """

    def __init__(self, settings: SmtpSettings, known: list[_Client]) -> None:
        known.append(self)
        super().__init__(settings.host, settings.port, timeout=_SECONDS)

    def take_leave(self) -> None:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            if self.sock is not None:
                self.sock.settimeout(_LEAVE_SECONDS)
            self.quit()
        self.close()

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)


def mail(notice: Notice, settings: SmtpSettings) -> EmailMessage:
    """Return a notice as a mail, in Chinese and then in English."""
    made = EmailMessage()
    made["From"] = settings.sender
    made["To"] = settings.to.replace("{account}", notice.account)
    made["Subject"] = notice.title_zh
    made["Message-ID"] = f"<{notice.id}@{settings.sender.rpartition('@')[2]}>"
    made.set_content(f"{notice.text_zh}\n\n{notice.title_en}\n{notice.text_en}\n")
    return made


def make_channels(
    names: tuple[str, ...], webhook: WebhookSettings | None, smtp: SmtpSettings | None
) -> Mapping[str, NoticeChannel]:
    """Return the channels that the settings name. Raises OSError for a file that can't be read."""
    found: dict[str, NoticeChannel] = {}
    for name in names:
        if name == "webhook" and webhook is not None:
            found[name] = WebhookChannel(webhook)
        elif name == "smtp" and smtp is not None:
            found[name] = SmtpChannel(smtp)
        else:
            found[name] = LogChannel()
    return found

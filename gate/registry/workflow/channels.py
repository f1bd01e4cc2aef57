"""The channels that notices go out by: the log, a webhook, and mail by SMTP.

The webhook is the real thing: a provider hangs SMS, mail, WeChat and site letters on it. A request
is a POST of the notice as JSON, signed as the Standard Webhooks scheme has it: `webhook-id` (the
notice's id), `webhook-timestamp`, and `webhook-signature`, `v1,` and the base64 of the HMAC-SHA256
of `id.timestamp.body`. Anything but 2xx is tried again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Final, Protocol

import aiohttp

from gate.registry.errors import RegistryFailure
from gate.registry.sightings.views import AccountNotice
from gate.registry.workflow.notices import OrderNotice
from gate.settings import SmtpSettings, WebhookSettings

_log = logging.getLogger(__name__)

_SECONDS: Final = 15.0


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
        file = settings.password_file
        self._password = (
            None if file is None else file.read_text(encoding="utf-8", errors="replace").strip()
        )

    async def send(self, notice: Notice, now: int) -> None:
        """Mail a notice. Raises NotTaken."""
        try:
            await asyncio.to_thread(self._send, mail(notice, self._settings))
        except (OSError, smtplib.SMTPException) as error:
            raise NotTaken(f"{self._settings.host}: {error}") from error

    def _send(self, made: EmailMessage) -> None:
        settings = self._settings
        tls = ssl.create_default_context(cafile=settings.ca)
        with smtplib.SMTP(settings.host, settings.port, timeout=_SECONDS) as client:
            if settings.starttls:
                client.starttls(context=tls)
            if settings.user is not None and self._password is not None:
                client.login(settings.user, self._password)
            client.send_message(made)


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

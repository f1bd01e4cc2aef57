"""The admin port of a running gate, for the command line: blocking, one request at a time."""

from __future__ import annotations

import functools
import getpass
import http.client
import json
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec
from urllib.parse import urlencode, urlsplit

import click

from gate.cli.errors import CliError
from gate.cli.failure import config_option, fail, load_settings
from gate.cli.holder import holder
from gate.cli.options import TlsFiles, tls_options
from gate.files import MALFORMED

if TYPE_CHECKING:
    from gate.settings import Settings

P = ParamSpec("P")

_SECONDS: Final = 30.0  # longer than two changes that wait for a worker that is stuck
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Unreachable(CliError):
    """No answer from the admin port; says where, and what to do."""


@dataclass(slots=True, frozen=True)
class Answer:
    """What the gate answered."""

    status: int
    text: str

    @property
    def fields(self) -> dict[str, Any]:
        """A JSON answer. Fails with a clear line for anything else."""
        try:
            found = json.loads(self.text)
        except ValueError:
            fail(f"the answer is no JSON but {self.text[:80]!r}; is this a gate's admin port?")
        return found if isinstance(found, dict) else {}


@dataclass(slots=True, frozen=True)
class Client:
    """A running gate."""

    host: str
    port: int
    token: str
    tls: ssl.SSLContext | None
    spare: str = ""
    """The token that the settings have now, where another one was given."""

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """Read something; a refusal ends the program."""
        return self.request("GET", path, query=query).fields

    def text(self, path: str, **query: object) -> str:
        """Read something that is no JSON."""
        return self.request("GET", path, query=query).text

    def change(self, method: str, path: str, **body: object) -> dict[str, Any]:
        """Change something in the name of the person who runs this command."""
        return self.request(method, path, body=body | {"by": _me()}).fields

    def upload(self, method: str, path: str, text: bytes, **query: object) -> dict[str, Any]:
        """Give the gate a file of text, likewise."""
        return self.request(method, path, query=query | {"by": _me()}, text=text).fields

    def delete(self, path: str, **query: object) -> dict[str, Any]:
        """Remove something, likewise."""
        return self.request("DELETE", path, query=query | {"by": _me()}).fields

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
        text: bytes | None = None,
    ) -> Answer:
        """Send a request and return the answer; a refusal, or no answer, ends the program."""
        try:
            answer = self.send(method, path, query=query, body=body, text=text)
        except Unreachable as error:
            fail(str(error))
        if answer.status >= 400:
            detail = str(answer.fields.get("detail", f"the gate answered {answer.status}"))
            if answer.status == HTTPStatus.UNAUTHORIZED and self.token:
                detail += "; until a reload that is the old one, which --token can give"
            fail(detail)
        return answer

    def send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
        text: bytes | None = None,
    ) -> Answer:
        """Send a request, with JSON or with a text; return its answer, whatever it is.

        Raises Unreachable.
        """
        given = {key: value for key, value in (query or {}).items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = text
        if text is not None:
            headers["Content-Type"] = "text/plain; charset=utf-8"
        elif body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        connection = self._connection()
        try:
            connection.request(method, target, data, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode("utf-8", "replace"))
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            # In TLS 1.3 a client certificate is judged when the client's handshake is over already.
            refused = self.tls is not None and isinstance(error, ConnectionResetError)
            raise Unreachable(
                f"no answer from the admin port {self.host}:{self.port} ({error}); "
                + (
                    "does it want a client certificate (--cert, --key), of a CA that it trusts and "
                    "in date by its clock?"
                    if refused
                    else "is the gate running, and is this its --config or --url?"
                )
            ) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=_SECONDS)
        return http.client.HTTPSConnection(self.host, self.port, timeout=_SECONDS, context=self.tls)


def client_options(command: Callable[Concatenate[Client, P], None]) -> Callable[..., None]:
    """Give a command the options that name a gate, and the gate as its first argument."""

    @config_option
    @click.option(
        "--url", envvar="GATE_ADMIN_URL", help="Admin port of another gate, as http(s)://HOST:PORT."
    )
    @click.option(
        "--token",
        envvar="GATE_ADMIN_TOKEN",
        help="Admin token, or @FILE; without it, the one in state_dir.",
    )
    @tls_options("the admin port")
    @functools.wraps(command)
    def wrapped(
        config: Path | None,
        url: str | None,
        token: str | None,
        files: TlsFiles,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        command(find_client(config, url, token, files), *args, **kwargs)

    return wrapped


def print_json(fields: dict[str, Any]) -> None:
    """An answer as the gate gave it, on one line."""
    click.echo(json.dumps(fields, ensure_ascii=False))


def find_client(
    config: Path | None,
    url: str | None,
    token: str | None,
    files: TlsFiles,
) -> Client:
    """Return the gate that the options mean; fails with a clear line where there is none."""
    if url is not None:
        scheme, host, port = _parts(url)
        tls = _tls(files) if scheme == "https" else None
        return Client(host, port, _token(token or ""), tls)
    settings = load_settings(config, routes=False)
    host, port = _address(settings)
    known = settings.admin.token
    if known is None:
        known = _read_token(settings.admin_token_path)
    tls = _tls(files) if settings.admin.tls is not None else None
    return Client(host, port, _token(token or known), tls, spare=known)


def _parts(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an admin port's URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port  # ValueError for a port that is none
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https") or parts.path.strip("/"):
        fail(f"--url: {url!r} is not a URL like http://127.0.0.1:9464")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def _address(settings: Settings) -> tuple[str, int]:
    """Return where the gate of these settings has its admin port.

    Without that gate, whoever listens there now is not to be shown the token.
    """
    if holder(settings.lock_path) is None:
        state_dir = settings.state_dir
        fail(f"no gate runs in state_dir {state_dir}; start it, or give its --config or --url")
    path = settings.addresses_path
    try:
        host, _, port = str(json.loads(path.read_bytes())["admin"]).rpartition(":")
        number = int(port)
    except FileNotFoundError:
        fail(f"the gate in state_dir {settings.state_dir} has no admin port yet; try again")
    except (OSError, *MALFORMED) as error:
        fail(f"{path} cannot be used: {error}; give --url")
    host = host.strip("[]")
    return _ANYWHERE.get(host, host), number


def _token(text: str) -> str:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"--token: {text[1:]} cannot be read: {error}")
    if not text.isascii() or any(char.isspace() for char in text):
        fail("--token: a token is one word of letters, digits and -._~+/; this is none")
    return text


def _read_token(path: Path) -> str:
    """Return the token in a file; "" where this user may not read it, which is enough to look."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _tls(files: TlsFiles) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=files.ca)
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
    except OSError as error:
        named = (files.ca, files.certificate, files.key)
        fail(f"{', '.join(str(path) for path in named if path)} cannot be used: {error}")
    return context


def _me() -> str:
    """Return who runs this command, for the audit log."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return ""
    return "".join(char for char in name if char.isalnum() or char in "_.@-")[:64]

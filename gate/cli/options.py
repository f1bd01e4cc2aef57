"""Options that several commands take, each written once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from gate.cli.durations import Duration
from gate.cli.failure import in_utf8

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

# What an exemption or a suspension is asked for with, at one gate or at every one.
domain_argument = click.argument("domain", callback=in_utf8)
exemption_length = click.option(
    "--for", "seconds", type=Duration(), required=True, help="How long, such as 2h or 7d."
)
override_reason = click.option(
    "--reason", callback=in_utf8, required=True, help="Why, for whoever reads it later."
)


def suspension_length(end: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option for the length of a suspension, which lasts until `end` without one."""
    return click.option(
        "--for", "seconds", type=Duration(), help=f"How long; without it, until {end}."
    )


_ANY_PATH: Final = click.Path(path_type=Path)


@dataclass(slots=True, frozen=True)
class TlsFiles:
    """PEM files for an https server: its CA, and what a client shows of itself."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def tls_options(
    server: str, *, given: str = "", path: click.Path = _ANY_PATH
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command --ca, --cert and --key, as the argument `files`.

    `server` says whose certificate the CA signed; `given`, what they go with ("" for nothing).
    """

    def text(words: str) -> str:
        return f"{given}: {words}" if given else words[0].upper() + words[1:]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--ca", type=path, help=text(f"CA that signed {server}'s certificate."))
        @click.option("--cert", type=path, help=text("client certificate to show."))
        @click.option("--key", type=path, help=text("the client certificate's private key."))
        @functools.wraps(command)
        def wrapped(
            *args: Any, ca: Path | None, cert: Path | None, key: Path | None, **kwargs: Any
        ) -> None:
            command(*args, files=TlsFiles(ca, cert, key), **kwargs)

        return wrapped

    return decorated

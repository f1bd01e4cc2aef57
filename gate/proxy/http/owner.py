"""What an exchange tells the HTTP connection that it is for."""

from __future__ import annotations

from typing import Protocol

from gate.proxy.connection import Connection
from gate.wire.http1 import BadMessage


class ExchangeOwner(Protocol):
    """The HTTP connection that has an exchange under way, and what becomes of it."""

    @property
    def connection(self) -> Connection:
        """The client's connection."""
        ...

    def exchange_done(self, close: bool) -> None:
        """The response is complete, and all of it was sent or is held."""
        ...

    def refuse(self, status: int, detail: str) -> None:
        """There is no response; the client is to be told so, and the connection to close."""
        ...

    def bad_body(self, bad: BadMessage) -> None:
        """The client sent a body that can't be understood, behind a head that was passed on."""
        ...

    def settle(self) -> bool:
        """Account for what the client sent ahead; False if that was too much, and the end."""
        ...

    def hand_over(self) -> None:
        """A tunnel owns the client's connection from now on."""
        ...

    def end(self, cause: str, *, cut: bool = False) -> None:
        """End the client's connection, and the exchange with it."""
        ...

    def abort(self, cause: str = "aborted") -> None:
        """The same at once, with resets."""
        ...

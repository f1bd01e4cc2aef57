"""What a flow tells whoever keeps the flows."""

from __future__ import annotations

from typing import Protocol, TypeVar

F = TypeVar("F", contravariant=True)


class FlowKeeper(Protocol[F]):
    """Who keeps the flows: told what bounds and finds them."""

    def proved(self, flow: F) -> None:
        """Its client is where it says that it is."""

    def learned(self, flow: F, cid: bytes) -> None:
        """The server of a flow has chosen a connection ID."""

    def forget(self, flow: F, cid: bytes) -> None:
        """An ID of a flow leads to it no more."""

    def ended(self, flow: F) -> None:
        """Nothing is left of it."""

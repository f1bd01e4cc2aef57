"""Where a client's HTTP connection stands."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where a client connection stands."""

    HEAD = auto()  # waiting for a request head, or for the rest of it
    BUSY = auto()  # an exchange is under way
    FLUSH = auto()  # the exchange is over; the client has yet to take the last bytes
    LINGER = auto()  # the last response is out; what the client still sends is discarded
    CLOSED = auto()


# Reading a member from its class costs more than a function call; a global is free.
HEAD: Final = State.HEAD
BUSY: Final = State.BUSY
FLUSH: Final = State.FLUSH
LINGER: Final = State.LINGER
CLOSED: Final = State.CLOSED

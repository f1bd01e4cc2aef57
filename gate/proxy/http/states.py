"""The states of an HTTP connection, and what each event does in each of them.

A client's connection handles its requests strictly in turn: the next head is not looked at before
the response to the last one is complete, so pipelined requests are answered in order, and a
blocked one after all that came before it. That makes it one small machine:

                    ┌────────────────────────── next request ───────────────────────────┐
                    ▼                                                                   │
    accept ──> IDLE ──some of a head──> HEAD ──a whole one, forwarded──> BUSY ──done──> FLUSH
                    │                     │                                │              │
                    │                     └──── refused or redirected ─────┤              │ last
                    │                                                      ▼              ▼
                    └──────────────────── ended, idle ───────────────> CLOSED <────── LINGER

IDLE    Nothing of a request has come, empty lines at most (RFC 9112 2.2).
HEAD    A part of a request's head is there.
BUSY    A request was judged and is forwarded: its exchange is under way, in a phase of its own.
FLUSH   The response is complete, but the client has yet to take the end of it. If it takes all at
        once, which is the rule, BUSY goes to IDLE, LINGER or CLOSED directly.
LINGER  The last response is out and our side is ended. What the client still sends is discarded,
        so that no reset overtakes the response (RFC 9112 9.6).
CLOSED  Nothing is left of it; or a tunnel has taken the socket over, after a 101 or with an
        HTTP/0.9 request where the gate only monitors.

TABLE says what an event does. An action may lead to a different state or to none; where it leads
is said at the method of HttpConnection that bears its name. Back-pressure is not in the table: it
lies in what is watched. READABLE comes only while the client may be read; while it may not, a
broken connection still shows, as ERROR or HANGUP.

The exchange has phases, because whose fault a failure is depends on how far it has got:

CONNECTING  An upstream connection is being dialled.
SENDING     The upstream has yet to take a part of the request, or the client to send it.
WAITING     The upstream has all of the request; its response has not begun.
RESPONDING  The client has been sent the head of the final response. From here on a failure can
            only be shown by a cut (RFC 9112 8). The rest of a request may still be on its way.

REMEDIES says what a failure does in each phase. DEADLINES and PATIENCE say how long each state and
phase may last: the name of a limit, of its settings' section, in seconds. A client that moves
something begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum, auto
from typing import Final


class HttpState(IntEnum):
    """Where a client's connection stands."""

    IDLE = 0
    HEAD = 1
    BUSY = 2
    FLUSH = 3
    LINGER = 4
    CLOSED = 5


class HttpEvent(IntEnum):
    """What happens to a client's connection."""

    READABLE = 0  # the client has sent something, or has ended, and may be read
    ENDED = 1  # a read has found the end of what the client sends
    WRITABLE = 2  # the client takes more
    HANGUP = 3  # both directions are closed, while the client may not be read
    ERROR = 4  # the connection is broken
    DEADLINE = 5  # the state has lasted too long


class Action(Enum):
    """What is done; the value is the name of HttpConnection's method."""

    READ_HEAD = "read_head"
    READ_AHEAD = "read_ahead"
    DISCARD = "discard"
    STAND_BY = "stand_by"
    FLUSH = "flush"
    UNWATCH = "unwatch"
    CLOSE = "close"
    CLOSE_TRUNCATED = "close_truncated"
    CLOSE_IDLE = "close_idle"
    RESET = "reset"
    CUT = "cut"
    REFUSE_SLOW_HEAD = "refuse_slow_head"
    TIME_OUT_EXCHANGE = "time_out_exchange"
    NOTHING = "nothing"


TABLE: Final[Mapping[HttpState, Mapping[HttpEvent, Action]]] = {
    HttpState.IDLE: {
        HttpEvent.READABLE: Action.READ_HEAD,
        HttpEvent.ENDED: Action.CLOSE,
        HttpEvent.WRITABLE: Action.NOTHING,
        HttpEvent.HANGUP: Action.RESET,
        HttpEvent.ERROR: Action.RESET,
        HttpEvent.DEADLINE: Action.CLOSE_IDLE,
    },
    HttpState.HEAD: {
        HttpEvent.READABLE: Action.READ_HEAD,
        HttpEvent.ENDED: Action.CLOSE_TRUNCATED,
        HttpEvent.WRITABLE: Action.NOTHING,
        HttpEvent.HANGUP: Action.RESET,
        HttpEvent.ERROR: Action.RESET,
        HttpEvent.DEADLINE: Action.REFUSE_SLOW_HEAD,
    },
    HttpState.BUSY: {
        HttpEvent.READABLE: Action.READ_AHEAD,
        HttpEvent.ENDED: Action.STAND_BY,
        HttpEvent.WRITABLE: Action.FLUSH,
        # It has closed both ways, or has sent its end and was sent ours: the exchange may be
        # nearly done, and finds out by itself when it writes.
        HttpEvent.HANGUP: Action.UNWATCH,
        HttpEvent.ERROR: Action.RESET,
        HttpEvent.DEADLINE: Action.TIME_OUT_EXCHANGE,
    },
    HttpState.FLUSH: {
        HttpEvent.READABLE: Action.READ_AHEAD,
        HttpEvent.ENDED: Action.STAND_BY,
        HttpEvent.WRITABLE: Action.FLUSH,
        HttpEvent.HANGUP: Action.RESET,
        HttpEvent.ERROR: Action.RESET,
        HttpEvent.DEADLINE: Action.CUT,
    },
    HttpState.LINGER: {
        HttpEvent.READABLE: Action.DISCARD,
        HttpEvent.ENDED: Action.CLOSE,
        HttpEvent.WRITABLE: Action.NOTHING,
        HttpEvent.HANGUP: Action.RESET,
        HttpEvent.ERROR: Action.RESET,
        HttpEvent.DEADLINE: Action.CUT,
    },
    HttpState.CLOSED: dict.fromkeys(HttpEvent, Action.NOTHING),
}

LINGER_SECONDS: Final = 2.0
"""How long a finished client may take to close its side."""

DRAIN_IDLE_SECONDS: Final = 1.0
"""How long a drain leaves an idle connection for a request that may be under way."""

DEADLINES: Final[Mapping[HttpState, str]] = {
    HttpState.IDLE: "limits.idle_seconds",  # in a drain DRAIN_IDLE_SECONDS at most
    HttpState.HEAD: "limits.head_seconds",  # also before the first request of a connection
    # BUSY: that of the exchange's phase; LINGER: LINGER_SECONDS.
    HttpState.FLUSH: "limits.body_idle_seconds",
}


class Phase(IntEnum):
    """How far an exchange has got."""

    CONNECTING = 0
    SENDING = 1
    WAITING = 2
    RESPONDING = 3


class Fault(Enum):
    """What goes wrong with an exchange."""

    UPSTREAM_ENDED = auto()  # the upstream connection ended, or broke
    DEADLINE = auto()  # nothing has moved for too long


class Remedy(Enum):
    """What is done about it."""

    RETRY = auto()  # on another connection, where nothing can have come of it; else FAIL
    FAIL = auto()  # answer with an error; the endpoint rests, if there is one to blame
    BLAME = auto()  # the client, if it is the one that is waited for: 408; else FAIL
    CUT = auto()  # the client has a part of the response: it must not be taken for the whole


REMEDIES: Final[Mapping[Phase, Mapping[Fault, Remedy]]] = {
    Phase.CONNECTING: {Fault.UPSTREAM_ENDED: Remedy.FAIL, Fault.DEADLINE: Remedy.FAIL},
    Phase.SENDING: {Fault.UPSTREAM_ENDED: Remedy.RETRY, Fault.DEADLINE: Remedy.BLAME},
    Phase.WAITING: {Fault.UPSTREAM_ENDED: Remedy.RETRY, Fault.DEADLINE: Remedy.FAIL},
    Phase.RESPONDING: {Fault.UPSTREAM_ENDED: Remedy.CUT, Fault.DEADLINE: Remedy.CUT},
}

PATIENCE: Final[Mapping[Phase, str]] = {
    Phase.CONNECTING: "upstreams.response_timeout",
    Phase.SENDING: "limits.body_idle_seconds",
    Phase.WAITING: "upstreams.response_timeout",
    Phase.RESPONDING: "limits.body_idle_seconds",
}

# Reading a member from its class costs more than a function call; a global is free. (And a plain
# Enum as a key of a dictionary costs another: states, events and phases are numbers.)
IDLE: Final = HttpState.IDLE
HEAD: Final = HttpState.HEAD
BUSY: Final = HttpState.BUSY
FLUSH: Final = HttpState.FLUSH
LINGER: Final = HttpState.LINGER
CLOSED: Final = HttpState.CLOSED

"""HTTP/1 on a client's connection; see states.py for how it goes."""

from gate.proxy.http.connection import HttpConnection
from gate.proxy.http.plane import HttpPlane
from gate.proxy.http.taking import take

__all__ = ["HttpConnection", "HttpPlane", "take"]

"""`gate serve`: binds the ports, gives up privileges, and runs the family of processes."""

from gate.supervisor.serve import Refused, serve

__all__ = ["Refused", "serve"]

"""`gate serve`: binds the ports, gives up privileges, and runs the family of processes."""

from gate.supervisor.program import REHEARSAL, Program
from gate.supervisor.serve import Refused, rehearse, serve

__all__ = ["REHEARSAL", "Program", "Refused", "rehearse", "serve"]

"""`gate serve`: binds the ports, gives up privileges, and runs the family of processes."""

from gate.supervisor.errors import CannotStart
from gate.supervisor.program import REHEARSAL, Program
from gate.supervisor.start import rehearse, serve

__all__ = ["REHEARSAL", "CannotStart", "Program", "rehearse", "serve"]

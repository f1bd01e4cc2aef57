"""The program that an upgrade executes: tried first, then put in the place of this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from gate.supervisor.handover import VARIABLE, Handover

_REHEARSAL_SECONDS = 30.0
REHEARSAL = "--rehearsal"
"""Option of `gate serve` that has it read everything and start nothing."""


@dataclass(slots=True, frozen=True)
class Program:
    """A command that serves; what it names may have changed since this program was started."""

    command: Sequence[str]

    @classmethod
    def present(cls) -> Program:
        """Return the command that this process was started by."""
        if os.access(sys.argv[0], os.X_OK) and os.path.isfile(sys.argv[0]):
            return cls(sys.argv)  # its first line may name another interpreter by now
        return cls([sys.executable, *sys.orig_argv[1:]])

    def __str__(self) -> str:
        return " ".join(self.command)

    def rehearse(self, handover: Handover) -> str:
        """Have the program load itself, its settings and `handover`; why it can't, or ""."""
        environ = dict(os.environ)
        handover.leave(environ)
        memory = int(environ[VARIABLE])
        try:
            subprocess.run(  # noqa: S603 - the command that this process was started by
                [*self.command, REHEARSAL],
                env=environ,
                pass_fds=[memory, *handover.descriptors()],
                check=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_REHEARSAL_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            return str(error.stderr).strip() or f"{self} ended with {error.returncode}"
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{self} can't be run: {error}"
        finally:
            handover.take_back(environ)
        return ""

    def replace_this_one(self, handover: Handover) -> str:
        """Execute the program in this process; returns only when it can't be: why."""
        handover.leave(os.environ)
        try:
            os.execv(self.command[0], list(self.command))  # noqa: S606 - as above
        except OSError as error:
            handover.take_back(os.environ)
            return f"{self} can't be executed: {error}"

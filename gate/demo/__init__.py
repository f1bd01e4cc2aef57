"""`make run`: a gate with a demo origin on this machine, and commands to try."""

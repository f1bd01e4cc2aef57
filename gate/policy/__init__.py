"""Verdicts: is a name to be served?"""

from gate.policy.decider import Decider, Policy
from gate.policy.verdict import Reason, Verdict

__all__ = ["Decider", "Policy", "Reason", "Verdict"]

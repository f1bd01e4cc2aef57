"""Is a name filed?  Verdicts, their reasons, and the decider with its cache."""

from gate.policy.decider import CacheStats, Decider, Policy
from gate.policy.verdict import REASONS, REMINDED, Reason, Verdict, nameless

__all__ = [
    "REASONS",
    "REMINDED",
    "CacheStats",
    "Decider",
    "Policy",
    "Reason",
    "Verdict",
    "nameless",
]

"""What a new set would change of the one that is there: how many names it opens, and closes.

A name is open that is `filed` itself. Names below it, and names that a parent's filing covers as
well, are not looked at: what is counted is filings that lose their effect of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gate.replica.errors import SetShrinks


@dataclass(slots=True)
class Difference:
    """A comparison in figures, each a number of domains."""

    filed: int = 0
    """Filed before."""
    closing: int = 0
    """Filed before, and not any more."""
    opening: int = 0
    """Filed now, and not before."""

    def note(self, *, before: bool, after: bool) -> None:
        """Count a domain that is filed `before`, `after`, both or neither."""
        self.filed += before
        self.closing += before and not after
        self.opening += after and not before

    def shrinks(self, bound: float) -> bool:
        """Return whether more than the share `bound` (0 to 1) of what was filed closes."""
        return self.closing > bound * self.filed


Check = Callable[[Difference], None]
"""Looks at a difference before it is made; what it raises leaves the old set."""


def within(bound: float) -> Check:
    """Return a check that lets at most the share `bound` of what is filed close.

    It raises SetShrinks.
    """

    def check(difference: Difference) -> None:
        if difference.shrinks(bound):
            raise SetShrinks(difference.closing, difference.filed, bound)

    return check

"""What a list would change in a replica, domain by domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gate.filings import Filing, Status
from gate.names import parents
from gate.replica import Difference, Replica

_SHOWN = 3


@dataclass(slots=True, frozen=True)
class ListChange:
    """One domain whose record changes; None where there is none, before or after."""

    before: Filing | None
    after: Filing | None

    @property
    def domain(self) -> str:
        """The domain."""
        return (self.after or self.before or _NOBODY).domain

    def __str__(self) -> str:
        """Return a line of the diff."""
        if self.before is None:
            return f"+ {_shown(self.after)}"
        if self.after is None:
            return f"- {_shown(self.before)}"
        return f"~ {_shown(self.before)} -> {_shown(self.after).partition(' ')[2]}"


_NOBODY = Filing("", Status.ABSENT)


def _shown(filing: Filing | None) -> str:
    filing = filing or _NOBODY
    return f"{filing.domain} {filing.status.value} {filing.licence}".rstrip()


@dataclass(slots=True)
class Changes:
    """All that a list would change, in figures and with examples."""

    difference: Difference = field(default_factory=Difference)
    count: int = 0
    """Domains whose record changes."""
    closing: list[str] = field(default_factory=list)
    """Some of those that close."""

    def warning(self) -> str:
        """Return what closes, as a text."""
        difference = self.difference
        names = ", ".join(self.closing)
        return (
            f"{difference.closing} of {difference.filed} filed domains would close "
            f"({difference.closing / difference.filed:.1%}), such as {names}"
        )


def changes_of(
    replica: Replica | None, listed: Mapping[str, Filing], *, merge: bool, changes: Changes
) -> Iterator[ListChange]:
    """Yield each change in the order of domains, counted in `changes` on the way.

    `listed` replaces the set, or with `merge` says what becomes of the domains in it alone. A
    filed domain whose parent stays filed does not close: the parent's filing covers it.
    """
    difference = changes.difference

    def after(domain: str) -> Filing | None:
        found = listed.get(domain)
        if found is None and merge and replica is not None:
            found = replica.get(domain)
        return None if found is None or found.status in _GONE else found

    for domain, old in _by_domain(iter(()) if replica is None else replica.items(), listed):
        new = after(domain)
        was, will = _is_filed(old), _is_filed(new)
        if was and new is None:
            will = any(_is_filed(after(parent)) for parent in parents(domain))
        difference.note(before=was, after=will)
        if was and not will and len(changes.closing) < _SHOWN:
            changes.closing.append(domain)
        if old != new:
            changes.count += 1
            yield ListChange(old, new)


def _by_domain(
    held: Iterator[Filing], listed: Mapping[str, Filing]
) -> Iterator[tuple[str, Filing | None]]:
    """Yield every domain that is held or listed, in order, with what is held of it."""
    waiting = next(held, None)
    for domain in sorted(listed):
        while waiting is not None and waiting.domain < domain:
            yield waiting.domain, waiting
            waiting = next(held, None)
        if waiting is not None and waiting.domain == domain:
            yield domain, waiting
            waiting = next(held, None)
        else:
            yield domain, None
    while waiting is not None:
        yield waiting.domain, waiting
        waiting = next(held, None)


_GONE = (Status.ABSENT, Status.REVOKED)


def _is_filed(filing: Filing | None) -> bool:
    return filing is not None and filing.status is Status.FILED

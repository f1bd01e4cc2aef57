from collections.abc import Callable, Iterable, Iterator

from gate.histogram import Histogram
from gate.policy.verdict import Reason, Verdict

def describe(reasons: tuple[Reason, ...], licence_of: Callable[[bytes], str]) -> None: ...

class VerdictRing:
    maxsize: int
    misses: int
    evictions: int
    seconds: Histogram
    seen: object
    def __init__(
        self,
        size: int,
        judge: Callable[[bytes], Verdict],
        replica: object = None,
        statuses: dict[int, tuple[bool, int]] | None = None,
        unfiled: int = 0,
        shared: Iterable[str] = (),
    ) -> None: ...
    @property
    def currsize(self) -> int: ...
    def decide(self, host: bytes) -> Verdict: ...
    def invalidate(self, domains: Iterable[str]) -> int: ...
    def clear(self) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, host: bytes) -> bool: ...
    def __iter__(self) -> Iterator[bytes]: ...

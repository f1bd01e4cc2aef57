from collections.abc import Callable
from typing import Any

from gate.native.engine import Engine
from gate.native.template import Template
from gate.native.verdicts import VerdictRing

CAUSES: tuple[str, ...]

class NativePlane:
    engine: Engine
    draining: bool
    def __init__(
        self,
        engine: Engine,
        ring: VerdictRing,
        *,
        decider: Any,
        router: Any,
        counters: Any,
        admission: Any,
        hosts: Any,
        answers: Any,
        adopt: Callable[..., None],
        adopt_own: Callable[..., None],
        adopt_tunnel: Callable[..., None],
        connection_name: Callable[[str, int], str],
        parse_response: Callable[..., Any],
        serialise_response: Callable[..., bytes],
        first_of_response: Callable[..., Any],
        odd_chunks: Callable[[bool, int], Any],
        refused: type[Exception],
        fault: type,
        no_upstream: type[Exception],
        failures: dict[str, tuple[int, str]],
        blocks_ech: bool,
        with_challenges: bool,
        limits: dict[str, float],
        redirects: list[Template],
        redirects_with_path: list[Template],
        responses: list[Template],
    ) -> None: ...
    def drain(self) -> None: ...
    def fold(self) -> None: ...
    def idle_of(self, endpoint: object) -> int: ...

from collections.abc import Callable

from gate.native.template import Template

class Onward:
    def __init__(
        self,
        bounds: tuple[int, int, int],
        forwarding: int,
        via: bool,
        templates: list[Template],
        fields: Callable[[str], bytes] | None,
        node: Callable[[str], bytes],
    ) -> None: ...
    def write(self, data: bytes, address: str) -> bytes | None: ...
